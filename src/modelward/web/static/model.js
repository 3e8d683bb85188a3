// The page of a model: live, with its buttons.
import * as act from "./act.js";
import { start } from "./live.js";

start();
act.start();
