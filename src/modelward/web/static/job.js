// One job: its progress moves while it runs.
import * as act from "./act.js";
import { start } from "./live.js";

start();
act.start();
act.moveJobs();
