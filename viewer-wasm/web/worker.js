// A decoding worker: the page posts the compiled module with each job, so it is neither fetched nor compiled again.
import init, { load_frame } from "./viewer.js";

let ready;
self.onmessage = async ({ data }) => {
  ready ??= init({ module_or_path: data.module });
  await ready;
  await load_frame(data);
};
