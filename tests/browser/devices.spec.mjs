// An administrator's round in real Chromium: adds an application entity, is told what is wrong with it, calls it, removes it.
//
//   BASE_URL PACS_USER PACS_PASSWORD CHROMIUM   where and as whom
//   DICOM_PORT                                  of the server, which is called as if it were a device
//   SCREENSHOTS                                 folder for pictures
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const base = process.env.BASE_URL.replace(/\/$/, "");
const pictures = process.env.SCREENSHOTS ?? "screenshots";
mkdirSync(pictures, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"],
});
const complaints = [];
const context = await browser.newContext({ locale: "en-GB", viewport: { width: 1920, height: 1080 } });
const page = await context.newPage();
page.setDefaultTimeout(30_000);
page.on("pageerror", (error) => complaints.push(error.message));

await page.goto(`${base}/devices`);
await page.fill("input[name=user]", process.env.PACS_USER);
await page.fill("input[name=password]", process.env.PACS_PASSWORD);
await page.click("button[type=submit]");
await page.getByText("No application entity yet").waitFor();

await page.click("[data-test=add-device]");
const form = page.locator("[data-test=device-form]");
const field = (label) => form.getByLabel(label, { exact: true });
await field("AE title").fill("YINGHAI");
await field("Host").fill("127.0.0.1");
await field("Port").fill(process.env.DICOM_PORT);
await field("Search").check();
await field("Report steps (MPPS)").check();
await field("Worklist").selectOption({ label: "Its own steps" });
await field("Sees only").fill("Rows=512");
await page.screenshot({ path: join(pictures, "device-form.png") });
await form.locator("button.main").click();
await form.getByText("does not choose among patients or studies").waitFor();
await field("Sees only").fill("ModalitiesInStudy=CT");
await form.locator("button.main").click();

const row = page.locator("tr", { hasText: `127.0.0.1:${process.env.DICOM_PORT}` });
await row.locator("[data-test=echo]").click();
await row.getByText(/✓ Answered in \d+ ms/).waitFor();
assert.deepEqual(await row.locator(".tag").allTextContents(), ["Search", "Worklist", "Report steps (MPPS)"]);
await page.click("[data-test=add-device]");
await field("AE title").fill("NOBODY");
await field("Host").fill("127.0.0.1");
await field("Port").fill("1");
await form.locator("button.main").click();
const absent = page.locator("tr", { hasText: "NOBODY" });
await absent.locator("[data-test=echo]").click();
await absent.getByText("✗ No answer: 127.0.0.1:1 cannot be reached").waitFor();
await page.screenshot({ path: join(pictures, "devices.png") });
await page.setViewportSize({ width: 390, height: 844 });
await page.screenshot({ path: join(pictures, "devices-phone.png") });
await page.setViewportSize({ width: 1920, height: 1080 });

await absent.getByText("Remove").click();
await absent.getByText("Really remove?").click();
await absent.waitFor({ state: "detached" });
await page.keyboard.press("Escape");
await page.getByText("No studies yet").waitFor();
assert.equal(new URL(page.url()).pathname, "/");
assert.deepEqual(complaints, []);
await browser.close();
