// Cornerstone's DICOM image loader gets every image of the conformance corpus from us, frame by frame, in real Chromium.
//
//   BASE_URL TOKEN CHROMIUM   where and by whose right; /cornerstone is what cornerstone.build.mjs made
//   DATA                      folder with MANIFEST.tsv and expected_lossy.json
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const base = process.env.BASE_URL.replace(/\/$/, "");
const { DATA, TOKEN } = process.env;
const authorization = { Authorization: `Bearer ${TOKEN}` };

const TWELVE_BITS = "its decoder of JPEG with 12 bits adds 15 to each value";
const RLE = "it decodes RLE of 16 bits as one sample a pixel, and of 32 bits not at all";
const PADDED = "a lone frame of an odd length in words comes with its padding, which it takes for a sample";
/** What fails, by file, and why: each must go on failing, so that the list stays true. */
const BEYOND = new Map([
  ["encapsulation/CT0012.fragmented_no_bot_jpeg_baseline.51.dcm", TWELVE_BITS],
  ["transfer-syntax/jpeg/JPGExtended.dcm", TWELVE_BITS],
  ["transfer-syntax/same-ct-in-15-syntaxes/CTImage_1.2.840.10008.1.2.4.51.dcm", TWELVE_BITS],
  ["transfer-syntax/same-ct-in-15-syntaxes/CTImage_1.2.840.10008.1.2.4.53.dcm", TWELVE_BITS],
  ["transfer-syntax/same-ct-in-15-syntaxes/CTImage_1.2.840.10008.1.2.4.55.dcm", TWELVE_BITS],
  ["transfer-syntax/wg04/MG1_JPLY.dcm", TWELVE_BITS],
  ["transfer-syntax/wg04/MR1_JPLY.dcm", TWELVE_BITS],
  ["transfer-syntax/wg04/RG3_JPLY.dcm", TWELVE_BITS],
  ["transfer-syntax/wg04/SC1_JPLY.dcm", TWELVE_BITS],
  ["transfer-syntax/wg04/XA1_JPLY.dcm", TWELVE_BITS],
  ["transfer-syntax/rle/SC_rgb_rle_16bit.dcm", RLE],
  ["transfer-syntax/rle/SC_rgb_rle_32bit.dcm", RLE],
  ["transfer-syntax/rle/rtdose_rle.dcm", RLE],
  ["transfer-syntax/native/SC_rgb_small_odd.dcm", PADDED],
  ["transfer-syntax/native/SC_rgb_small_odd_big_endian.dcm", PADDED],
  ["transfer-syntax/jpeg/SC_jpeg_no_color_transform.dcm", "it has no Modality, of which the loader makes sure"],
  ["lut-overlay/gdcm-US-ALOKA-16.dcm", "its palettes are segmented (PS3.3 C.7.9.2)"],
  ["lut-overlay/ovly_p01.dcm", "overlays lie in unused bits of the pixels, which are not masked"],
].map(([path, reason]) => [`conformance/${path}`, reason]));

const [names, ...lines] = readFileSync(join(DATA, "MANIFEST.tsv"), "utf8").trim().split("\n").map((l) => l.split("\t"));
const lossy = JSON.parse(readFileSync(join(DATA, "expected_lossy.json"), "utf8"));
const images = lines
  .map((fields) => Object.fromEntries(names.map((name, index) => [name, fields[index] ?? ""])))
  .filter((entry) => entry.path.startsWith("conformance/") && entry.pixel_sha256);

/** Stores a file and answers the path of its instance, or nothing where it names no study or series. */
async function store(entry) {
  const headers = { ...authorization, "Content-Type": "application/dicom", Accept: "application/dicom+json" };
  const body = readFileSync(join(DATA, entry.path));
  const answer = await fetch(`${base}/dicom-web/studies`, { method: "POST", headers, body });
  if (answer.status === 409) return undefined;
  assert.equal(answer.status, 200, entry.path);
  return new URL((await answer.json())["00081199"].Value[0]["00081190"].Value[0]).pathname;
}

function fault(entry, seen) {
  const [rows, columns] = [Number(entry.rows), Number(entry.columns)];
  if (seen.rows !== rows || seen.columns !== columns) return `${seen.columns} × ${seen.rows} pixels`;
  if (entry.photometric === "PALETTE COLOR") return undefined;
  const expected = lossy[entry.path];
  if (!expected) return seen.sha256 === entry.pixel_sha256 ? undefined : "other pixels";
  const far = expected.points.find((point, index) =>
    point.slice(3).some((value, sample) => Math.abs(value - seen.points[index][sample]) > expected.tolerance));
  return far && `${seen.points[expected.points.indexOf(far)]} at ${far}`;
}

/** A fault, or undefined. */
async function check(page, entry) {
  const path = await store(entry);
  if (!path) return undefined;
  const [bits] = entry.bits_alloc_stored_signed.split("/").map(Number);
  const points = (lossy[entry.path]?.points ?? []).map((point) => point.slice(0, 3));
  const seen = await page.evaluate((what) => window.load(what), { path, frames: Number(entry.frames) || 1, bits, points });
  return seen.error ?? fault(entry, seen);
}

const args = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args });
try {
  const page = await (await browser.newContext({ extraHTTPHeaders: authorization })).newPage();
  page.setDefaultTimeout(60_000);
  await page.goto(`${base}/cornerstone/`);
  await page.waitForFunction("window.ready");
  const faults = [];
  for (const entry of images) {
    const wrong = await check(page, entry);
    const expected = BEYOND.has(entry.path);
    if (process.env.VERBOSE && wrong) console.log(entry.path, entry.transfer_syntax, entry.photometric, wrong);
    if (Boolean(wrong) !== expected) faults.push(`${entry.path}: ${wrong ?? `is no longer beyond it: ${BEYOND.get(entry.path)}`}`);
  }
  assert.deepEqual(faults, [], `${faults.length} of ${images.length} images`);
  const syntaxes = new Set(images.map((entry) => entry.transfer_syntax));
  console.log(`Cornerstone: ${images.length} images in ${syntaxes.size} transfer syntaxes, ${BEYOND.size} beyond it`);
} finally {
  await browser.close();
}
