// Starts the viewer. Nothing is inline, so that the page runs under a strict Content-Security-Policy.
import init, { start_viewer } from "./viewer.js";

await init({ module_or_path: new URL("./viewer.wasm", import.meta.url) });
start_viewer(new URL("./worker.js", import.meta.url).href);
