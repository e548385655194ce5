// OHIF, served by us, in real Chromium: signs in, finds the study, reads the stack, three planes, a segmentation, a report.
//
//   BASE_URL PACS_USER PACS_PASSWORD CHROMIUM   where and as whom
//   SCREENSHOTS                                 folder for pictures
//   STUDY PATIENT_ID                            a study with a CT of SLICES images, a SEG with a SEGMENT, an SR with a MEASUREMENT
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const base = process.env.BASE_URL.replace(/\/$/, "");
const pictures = process.env.SCREENSHOTS ?? "screenshots";
const { STUDY, PATIENT_ID, SLICES, SEGMENT, MEASUREMENT } = process.env;
const viewer = `${base}/ohif/viewer?StudyInstanceUIDs=${STUDY}`;
mkdirSync(pictures, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});
const page = await (await browser.newContext({ locale: "en-GB", viewport: { width: 1920, height: 1080 } })).newPage();
page.setDefaultTimeout(60_000);

// Chromium reports the 401 by which the page learns that nobody is signed in, and that of the wrong password.
const expected = (text, url) => /status of 401/.test(text) && new URL(url).pathname === "/api/session";
const complaints = [];
const answers = [];
page.on("pageerror", (error) => complaints.push(`${error.message}\n${error.stack}`));
page.on("console", (message) => {
  const { url } = message.location();
  if (message.type() === "error" && !expected(message.text(), url)) complaints.push(`${message.text()} ${url}`);
});
page.on("requestfailed", (request) => {
  // What a page no longer wants when it is left.
  if (request.failure().errorText !== "net::ERR_ABORTED") complaints.push(`${request.failure().errorText} ${request.url()}`);
});
page.on("response", (response) => {
  if (new URL(response.url()).pathname.startsWith("/dicom-web")) answers.push([response.status(), response.url()]);
});
page.on("request", (request) => {
  if (/^http/.test(request.url()) && !request.url().startsWith(base)) complaints.push(`asks another server: ${request.url()}`);
});

const picture = (name) => page.screenshot({ path: join(pictures, `ohif-${name}.png`) });
const part = (name) => page.locator(`[data-cy="${name}"]`);
const overlay = async (place) => (await part(`viewport-overlay-${place}`).first().innerText()).replace(/\s+/g, " ");
const series = (modality) => part("studyBrowser-panel").getByText(modality, { exact: true });
const asked = (pattern) => answers.filter(([, url]) => pattern.test(decodeURIComponent(url)));

async function until(what, holds, seconds = 120) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await page.waitForTimeout(200)) {
    const value = await holds();
    if (value) return value;
  }
  await picture("fault");
  assert.fail(`waited ${seconds} s for ${what}`);
}

/** The colours of a viewport on a coarse grid, as [red, green, blue]. */
const pixels = (index = 0) =>
  page.locator("canvas.cornerstone-canvas").nth(index).evaluate((canvas) => {
    const copy = new OffscreenCanvas(128, 128).getContext("2d");
    copy.drawImage(canvas, 0, 0, 128, 128);
    const { data } = copy.getImageData(0, 0, 128, 128);
    return Array.from({ length: 128 * 128 }, (_, i) => [data[4 * i], data[4 * i + 1], data[4 * i + 2]]);
  });
const greys = (colours) => new Set(colours.map(([red]) => red)).size;
const differ = (a, b) => a.filter(([red], index) => Math.abs(red - b[index][0]) > 8).length;
const coloured = (colours) => colours.filter(([red, green]) => red - green > 40).length;

async function signIn() {
  await page.goto(viewer);
  await page.waitForURL("**/ohif/sign-in.html?*");
  await page.fill("[name=user]", process.env.PACS_USER);
  await page.fill("[name=password]", "certainly wrong");
  await page.click("button");
  await page.getByRole("alert").filter({ hasText: /\w/ }).waitFor();
  await page.fill("[name=password]", process.env.PACS_PASSWORD);
  await picture("sign-in");
  await page.click("button");
  await page.waitForURL(viewer);
  assert.equal(await page.evaluate(() => crossOriginIsolated), true);
}

async function list() {
  await page.goto(`${base}/ohif/`);
  await page.getByText("Confirm and hide").click();
  const row = page.locator("tbody tr", { hasText: PATIENT_ID });
  await row.waitFor();
  const all = await page.locator("tbody tr").count();
  await page.locator("tbody input, thead input").first().fill("zhang");
  await until("the list to shrink", async () => (await page.locator("tbody tr").count()) < all);
  await until("the server to be asked", () => asked(/studies\?.*PatientName=\*zhang\*/).length > 0);
  const shown = await page.locator("tbody tr").filter({ hasText: /\d/ }).allInnerTexts();
  assert.ok(shown.length > 0 && shown.every((text) => text.includes("Zhang")), shown.join("\n"));
  assert.match(await row.innerText(), /Zhang, San[^]*CT\\SEG\\SR/);
  await row.click();
  // The preview: a picture of each series that has one.
  await until("the thumbnail", () => asked(/\/thumbnail/).length > 0);
  await page.waitForLoadState("networkidle");
  await picture("list");
  await page.getByText("Basic Viewer").click();
  await page.waitForURL("**/ohif/viewer?*");
}

async function stack() {
  await page.getByText("Skip all").click();
  await until("the first image", async () => greys(await pixels()) > 100);
  assert.match(await overlay("bottom-right"), new RegExp(`I:\\s?1 \\(1/${SLICES}\\)`));
  const first = await pixels();
  const box = await page.locator("canvas.cornerstone-canvas").boundingBox();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  await page.mouse.move(x, y);
  for (let notch = 0; notch < 3; notch++) {
    await page.mouse.wheel(0, 120);
    await page.waitForTimeout(300);
  }
  await until("the fourth image", async () => (await overlay("bottom-right")).includes(`(4/${SLICES})`));
  await until("its pixels", async () => differ(first, await pixels()) > 200);
  const [before, window] = [await pixels(), await overlay("bottom-left")];
  assert.match(window, /W: ?1600 L: ?-600/);
  await page.mouse.down();
  await page.mouse.move(x + 100, y + 40, { steps: 6 });
  await page.mouse.up();
  assert.notEqual(await overlay("bottom-left"), window);
  await until("another window", async () => differ(before, await pixels()) > 200);
  await picture("stack");
}

async function planes() {
  await part("layout-button").click();
  await page.getByText("MPR", { exact: true }).click();
  await until("three planes", async () => (await page.locator("canvas.cornerstone-canvas").count()) === 3);
  const loaded = () => page.evaluate(() => window.cornerstone.cache.getVolumes().some((volume) => volume.loadStatus?.loaded));
  await until("the volume", loaded, 240);
  const drawn = async () => (await Promise.all([0, 1, 2].map(pixels))).every((plane) => greys(plane) > 100);
  await until("pixels in all planes", drawn);
  const [axial, sagittal, coronal] = await Promise.all([0, 1, 2].map(pixels));
  assert.ok(differ(axial, sagittal) > 1000 && differ(sagittal, coronal) > 1000, "two planes look the same");
  await page.waitForTimeout(500);
  await picture("planes");
}

async function segmentation() {
  await page.goto(viewer);
  await until("the first image", async () => greys(await pixels()) > 100);
  await series("SEG").dblclick();
  await page.getByText("Yes", { exact: true }).click();
  await part("panelSegmentation-btn").click();
  await part("data-row").filter({ hasText: SEGMENT }).waitFor();
  await until("the segment in colour", async () => coloured(await pixels()) > 10);
  await picture("segmentation");
}

async function report() {
  await series("SR").dblclick();
  await page.getByText(MEASUREMENT).first().waitFor();
  await picture("report");
}

try {
  for (const step of [signIn, list, stack, planes, segmentation, report]) {
    await step();
    assert.deepEqual(complaints, [], step.name);
  }
  const failed = answers.filter(([status]) => status >= 400);
  assert.deepEqual(failed, []);
  assert.ok(asked(/\/frames\/1$/).length >= Number(SLICES), "not every slice was fetched");
  console.log(`OHIF: passed, ${answers.length} answers, pictures in ${pictures}`);
} finally {
  await browser.close();
}
