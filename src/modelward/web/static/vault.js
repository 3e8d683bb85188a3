// The page of the vault: live, with its buttons.
import * as act from "./act.js";
import { start } from "./live.js";

start();
act.start();
