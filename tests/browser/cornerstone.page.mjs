// The page in which Cornerstone's DICOM image loader gets frames by WADO-RS: window.load.
import { imageLoader, init as initCore } from "@cornerstonejs/core";
import { init, wadors } from "@cornerstonejs/dicom-image-loader";

await initCore();
init({ maxWebWorkers: 2, wasmBasePath: new URL("wasm/", location.href).href });

const PALETTES = ["00281201", "00281202", "00281203"];
const CONTAINERS = { 8: Int8Array, 16: Int16Array, 32: Int32Array };

/** The loader gives up a few images without telling whoever waits: only the window hears of it. */
const givenUp = () =>
  new Promise((_, reject) => addEventListener("unhandledrejection", (event) => reject(event.reason), { once: true }));

async function get(url, accept) {
  const answer = await fetch(url, { headers: { Accept: accept } });
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return answer;
}

/** Metadata, its color tables fetched as a viewer has to before the loader can use them. */
async function metadataOf(path) {
  const [metadata] = await (await get(`${path}/metadata`, "application/dicom+json")).json();
  for (const tag of PALETTES.filter((tag) => metadata[tag])) {
    const { InlineBinary, BulkDataURI } = metadata[tag];
    const source = InlineBinary ? `data:;base64,${InlineBinary}` : BulkDataURI;
    const bytes = await (await get(source, "application/octet-stream")).arrayBuffer();
    metadata[tag] = { vr: "OW", Value: [bytes] };
  }
  return metadata;
}

async function frame(imageId) {
  const image = await imageLoader.loadImage(imageId, { preScale: { enabled: false }, useRGBA: false });
  return { image, samples: image.voxelManager?.getScalarData() ?? image.getPixelData() };
}

const contained = (samples, bits) =>
  new Uint8Array((samples instanceof Float32Array ? samples : CONTAINERS[bits].from(samples)).slice().buffer);

/**
 * All frames of an instance as a consumer of the loader has them, unscaled: size, samples a pixel, transfer syntax, SHA-256
 * of all samples in containers of `bits`, and the samples at `points` (frame, row, column).
 */
async function load({ path, frames, bits, points }) {
  const metadata = await metadataOf(path);
  const images = [];
  for (let number = 1; number <= frames; number++) {
    const imageId = `wadors:${location.origin}${path}/frames/${number}`;
    wadors.metaDataManager.add(imageId, metadata);
    images.push(await frame(imageId));
  }
  const all = new Blob(images.map(({ samples }) => contained(samples, bits)));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await all.arrayBuffer()));
  const { rows, columns, transferSyntaxUID } = images[0].image;
  const width = images[0].samples.length / (rows * columns);
  return {
    rows,
    columns,
    width,
    syntax: transferSyntaxUID,
    sha256: Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join(""),
    points: points.map(([index, row, column]) => {
      const at = (row * columns + column) * width;
      return [...images[index].samples.slice(at, at + width)];
    }),
  };
}

window.load = async (what) => {
  // Several files of the corpus are of one instance.
  wadors.metaDataManager.purge();
  try {
    return await Promise.race([load(what), givenUp()]);
  } catch (error) {
    return { error: String(error?.error ?? error) };
  }
};
window.ready = true;
