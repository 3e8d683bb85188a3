// The settings: live, as they may be read anew.
import * as act from "./act.js";
import { start } from "./live.js";

start();
act.start();
