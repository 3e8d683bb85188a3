// The activity: its jobs move while they run.
import * as act from "./act.js";
import { start } from "./live.js";

start();
act.start();
act.moveJobs();
