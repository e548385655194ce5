// A radiologist's round in real Chromium: sign in, find the study, scroll, change the window, go to the finding.
//
//   BASE_URL PACS_USER PACS_PASSWORD CHROMIUM   where and as whom; a server without sign-in needs no user
//   SCREENSHOTS                                 folder for pictures
//   STUDY                                       Study Instance UID; else the first CT with an AI result
//   FINDINGS=none                               do not expect an AI result
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const base = (process.env.BASE_URL ?? "http://127.0.0.1:8042").replace(/\/$/, "");
const pictures = process.env.SCREENSHOTS ?? "screenshots";
const expectFindings = process.env.FINDINGS !== "none";
const desktop = { width: 1920, height: 1080 };
const phone = { width: 390, height: 844 };
mkdirSync(pictures, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});

const complaints = [];

async function open(options) {
  const context = await browser.newContext({ locale: "zh-CN", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  page.on("pageerror", (error) => complaints.push(`${error.message}\n${error.stack}`));
  page.on("console", (message) => {
    // Chromium itself reports the 401 by which the page learns that nobody is signed in yet.
    const expected = /status of 401/.test(message.text());
    if (message.type() === "error" && !expected) complaints.push(`${message.text()} ${message.location().url}`);
  });
  return page;
}

const picture = (page, name) => page.screenshot({ path: join(pictures, `${name}.png`) });
const rows = (page) => page.locator("table.list tbody tr");
const shown = (page) => page.waitForSelector("canvas[data-ready=true]");
const text = (page, corner) => page.locator(`.corner.${corner}`).innerText();

/** Grey values of the canvas on a coarse grid, after the next drawn frame. */
function pixels(page) {
  return page.evaluate(async () => {
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const canvas = document.querySelector("canvas");
    const copy = new OffscreenCanvas(64, 64).getContext("2d");
    copy.drawImage(canvas, 0, 0, 64, 64);
    return [...copy.getImageData(0, 0, 64, 64).data].filter((_, index) => index % 4 === 0);
  });
}

const differ = (a, b) => a.filter((value, index) => Math.abs(value - b[index]) > 8).length;
const spread = (values) => Math.max(...values) - Math.min(...values);

async function signIn(page) {
  await page.goto(`${base}/`);
  const form = page.locator("form");
  await Promise.race([form.waitFor(), page.locator("header.bar").waitFor()]);
  if (!(await form.isVisible())) return;
  await picture(page, "sign-in");
  await page.fill("[name=user]", process.env.PACS_USER ?? "admin");
  await page.fill("[name=password]", "certainly wrong");
  await page.click("button[type=submit]");
  await page.locator(".notice", { hasText: "用户名或密码不正确" }).waitFor();
  await page.fill("[name=password]", process.env.PACS_PASSWORD ?? "");
  await page.click("button[type=submit]");
  await page.locator("header.bar").waitFor();
}

async function list(page) {
  await rows(page).first().waitFor();
  await picture(page, "list");
  const all = await rows(page).count();
  await page.keyboard.press("/");
  await page.keyboard.type("no such patient");
  await page.getByText("没有符合条件的检查").waitFor();
  await picture(page, "list-empty");
  await page.locator(".filters .clear").click();
  await rows(page).nth(all - 1).waitFor();
  await page.locator("[data-test=language]").click();
  await page.getByText("Study date").first().waitFor();
  assert.equal(await page.locator("html").getAttribute("lang"), "en");
  await page.locator("[data-test=language]").click();
  await page.getByText("检查日期").first().waitFor();
}

/** The study to read: the one named, else the first with CT images (and, if findings are expected, a report). */
async function study(page) {
  if (process.env.STUDY) return process.env.STUDY;
  const wanted = expectFindings ? ["CT", "SR"] : ["CT"];
  const found = await page.evaluate(async (modalities) => {
    const accept = { headers: { Accept: "application/dicom+json" } };
    const studies = await (await fetch("/dicom-web/studies?limit=200", accept)).json();
    const has = (one) => modalities.every((modality) => one["00080061"]?.Value?.includes(modality));
    return studies.find(has)?.["0020000D"].Value[0];
  }, wanted);
  assert.ok(found, `no study with ${wanted}`);
  return found;
}

async function openFromList(page, uid) {
  await page.locator(`a[href$="${uid}"]`).first().click();
  await shown(page);
  assert.ok(page.url().includes(uid), page.url());
}

async function read(page) {
  const first = await pixels(page);
  assert.ok(spread(first) > 60, "the image is blank");
  assert.match(await text(page, "bottom.left"), /图像 1 \/ \d+/);
  const edges = await page.locator(".edge").allInnerTexts();
  assert.ok(edges.every((edge) => /^[LRAPHF]{0,3}$/.test(edge)), edges.join());

  await page.locator("canvas").hover();
  for (let notch = 0; notch < 5; notch++) await page.mouse.wheel(0, 120);
  await page.keyboard.press("ArrowDown");
  await shown(page);
  assert.match(await text(page, "bottom.left"), /图像 7 \//);

  await page.keyboard.press("2");
  const soft = await pixels(page);
  await page.keyboard.press("1");
  const lung = await pixels(page);
  assert.match(await text(page, "bottom.right"), /1500 \/ -600/);
  assert.ok(differ(soft, lung) > 200, "the lung window looks like the soft tissue window");

  const box = await page.locator("canvas").boundingBox();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  await page.mouse.move(x, y);
  await page.mouse.down();
  await page.mouse.move(x + 120, y + 80, { steps: 6 });
  await page.mouse.up();
  assert.doesNotMatch(await text(page, "bottom.right"), /1500 \/ -600/);
  await page.keyboard.press("i");
  assert.ok(differ(lung, await pixels(page)) > 200, "inverting changes nothing");
  await page.keyboard.press("r");

  const before = await text(page, "bottom.right");
  await page.keyboard.down("Control");
  await page.mouse.wheel(0, -240);
  await page.keyboard.up("Control");
  assert.notEqual(await text(page, "bottom.right"), before, "Ctrl+wheel does not zoom");
  await page.keyboard.press("f");
  await page.keyboard.press("End");
  await shown(page);
  const [, at, count] = (await text(page, "bottom.left")).match(/图像 (\d+) \/ (\d+)/);
  assert.equal(at, count);
  await page.keyboard.press("?");
  await page.locator("dialog.help").waitFor();
  await picture(page, "help");
  await page.keyboard.press("Escape");
  await page.locator("dialog.help").waitFor({ state: "detached" });
}

/** The canvas at one image pixel to one screen pixel, without smoothing, against PS3.3 C.11.2.1.2.1 and the stored values. */
async function exact(page, uid) {
  await page.keyboard.press("Home");
  await page.keyboard.press("1");
  await page.getByRole("button", { name: "一比一显示" }).click();
  await page.getByRole("button", { name: "平滑插值" }).click();
  await shown(page);
  const wrong = await page.evaluate(async (study) => {
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const thumbnail = document.querySelector(".tile[aria-pressed=true] img").getAttribute("src");
    const series = `/dicom-web/studies/${study}/series/${thumbnail.match(/series\/([\d.]+)/)[1]}`;
    const metadata = await (await fetch(`${series}/metadata`, { headers: { Accept: "application/dicom+json" } })).json();
    const value = (instance, tag) => Number(instance[tag].Value[0]);
    const first = metadata.reduce((a, b) => (value(a, "00200013") < value(b, "00200013") ? a : b));
    const url = `${series}/instances/${first["00080018"].Value[0]}/frames/1`;
    const frame = await (await fetch(url, { headers: { Accept: "application/octet-stream" } })).arrayBuffer();
    const stored = value(first, "00280103") ? new Int16Array(frame) : new Uint16Array(frame);
    const [rows, columns] = [value(first, "00280010"), value(first, "00280011")];
    const [slope, intercept] = [value(first, "00281053"), value(first, "00281052")];
    const [center, width] = [-600, 1500];
    const grey = (hu) => Math.min(1, Math.max(0, (hu - (center - 0.5)) / (width - 1) + 0.5)) * 255;
    const canvas = document.querySelector("canvas");
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
    copy.drawImage(canvas, 0, 0);
    const shownPixels = copy.getImageData(0, 0, canvas.width, canvas.height).data;
    let wrong = 0;
    for (let row = 0; row < rows; row += 7) {
      for (let column = 0; column < columns; column += 7) {
        const x = Math.floor((canvas.width - columns) / 2 + column + 0.5);
        const y = Math.floor((canvas.height - rows) / 2 + row + 0.5);
        const expected = grey(stored[row * columns + column] * slope + intercept);
        // Half a grey value may be rounded either way by the card.
        if (Math.abs(shownPixels[(y * canvas.width + x) * 4] - expected) > 0.51) wrong++;
      }
    }
    return wrong;
  }, uid);
  assert.equal(wrong, 0, `${wrong} pixels on the screen are not what the window makes of the stored values`);
  await page.getByRole("button", { name: "平滑插值" }).click();
  await page.keyboard.press("r");
}

async function findings(page) {
  const finding = page.locator(".finding").first();
  await finding.waitFor();
  await page.locator(".findings .warning", { hasText: "仅供演示，不得用于临床" }).waitFor();
  const slice = (await finding.locator(".fact").first().innerText()).match(/\d+/)[0];
  await finding.click();
  await shown(page);
  assert.match(await text(page, "bottom.left"), new RegExp(`图像 ${slice} /`));
  await page.locator(".mark circle").first().waitFor();
  await page.keyboard.press("1");
  await page.waitForTimeout(500);
  await picture(page, "viewer");
}

/** A page opened on the address of a study: how long until the first image, and that a wrong study shows none. */
async function deepLink(page, uid) {
  const start = Date.now();
  await page.goto(`${base}/viewer?StudyInstanceUIDs=${uid}`);
  await shown(page);
  console.log(`address to first image: ${Date.now() - start} ms`);
  await page.goto(`${base}/viewer?StudyInstanceUIDs=1.2.3.4.5.6.7.8.9`);
  await page.locator(".message").first().waitFor();
  assert.equal(spread(await pixels(page)), 0, "a study that is not there shows pixels");
  assert.equal(await text(page, "top.left"), "");
}

async function onPhone(state, uid) {
  const page = await open({ viewport: phone, deviceScaleFactor: 2, hasTouch: true, isMobile: true, storageState: state });
  await page.goto(`${base}/`);
  await rows(page).first().waitFor();
  await picture(page, "phone-list");
  await page.goto(`${base}/viewer?StudyInstanceUIDs=${uid}`);
  await shown(page);
  if (expectFindings) {
    await page.locator(".finding").first().click();
    await shown(page);
    await page.waitForTimeout(500);
  }
  const wide = await page.evaluate((width) => document.documentElement.scrollWidth > width, phone.width);
  assert.equal(wide, false, "the page is wider than the phone");
  await picture(page, "phone-viewer");
}

try {
  const page = await open({ viewport: desktop });
  await signIn(page);
  await list(page);
  const uid = await study(page);
  await openFromList(page, uid);
  await read(page);
  await exact(page, uid);
  if (expectFindings) await findings(page);
  await page.locator("[data-test=back]").click();
  await rows(page).first().waitFor();
  const state = await page.context().storageState();
  complaints.length === 0 || assert.fail(complaints.join("\n"));
  await deepLink(page, uid);
  complaints.length = 0; // the 404 of the study that is not there
  await onPhone(state, uid);
  assert.deepEqual(complaints, []);
  console.log(`viewer: passed, pictures in ${pictures}`);
} finally {
  await browser.close();
}
