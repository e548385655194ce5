// Puts Cornerstone's DICOM image loader and a page that has it into a folder: cornerstone.build.mjs FOLDER
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { build } from "esbuild";

const folder = process.argv[2];
const { resolve } = createRequire(import.meta.url);
const loader = "@cornerstonejs/dicom-image-loader";
mkdirSync(join(folder, "wasm"), { recursive: true });
await build({
  entryPoints: {
    page: new URL("cornerstone.page.mjs", import.meta.url).pathname,
    // The name by which the loader looks for its worker, beside itself.
    decodeImageFrameWorker: resolve(loader).replace(/index\.js$/, "decodeImageFrameWorker.js"),
  },
  bundle: true,
  format: "esm",
  outdir: folder,
  logLevel: "error",
  // Modules of Node that the decoders name and browsers never load.
  external: ["fs", "path", "crypto", "module"],
});
for (const [codec, file] of [
  ["charls/decodewasm", "charlswasm_decode"],
  ["libjpeg-turbo-8bit/decodewasm", "libjpegturbowasm_decode"],
  ["libjxl/decodewasm", "jpegxlwasm_decode"],
  ["openjpeg/decodewasm", "openjpegwasm_decode"],
  ["openjph/wasm", "openjphjs"],
]) {
  copyFileSync(resolve(`@cornerstonejs/codec-${codec}`), join(folder, "wasm", `${file}.wasm`));
}
writeFileSync(join(folder, "index.html"), '<!doctype html><title>loader</title><script type="module" src="page.js"></script>\n');
