// The overview: live; the filter is sent while one types.
import * as act from "./act.js";
import { $, refresh, start } from "./live.js";

start();
act.start();

let typing = 0;
document.addEventListener("input", (event) => {
  if (event.target.id !== "q") return;
  clearTimeout(typing);
  typing = setTimeout(() => {
    const address = new URL(location.href);
    address.searchParams.delete("page");
    if (event.target.value) address.searchParams.set("q", event.target.value);
    else address.searchParams.delete("q");
    history.replaceState(null, "", address);
    refresh();
  }, 200);
});
document.addEventListener("submit", (event) => {
  if (!event.target.matches(".filter")) return;
  event.preventDefault();
  $("#q").dispatchEvent(new Event("input", { bubbles: true }));
});
