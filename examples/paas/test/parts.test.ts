import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { adminPassword } from "../admin-password.ts";
import { createLogger } from "../logger.ts";
import { assemble, createParts, useAll } from "../parts.ts";

const part = (name: string, ended: string[], fail = false) => ({
  [Symbol.asyncDispose]: async () => {
    await Promise.resolve();
    ended.push(name);
    if (fail) throw new Error(`${name} failed`);
  },
});

test("parts end in reverse, once, whatever some of them say", async () => {
  const ended: string[] = [];
  const parts = createParts();
  parts.use(part("first", ended));
  parts.use(part("second", ended, true));
  parts.use({ [Symbol.dispose]: () => void ended.push("third") });
  await expect(parts[Symbol.asyncDispose]()).rejects.toThrow("second failed");
  await expect(parts[Symbol.asyncDispose]()).rejects.toThrow("second failed");
  expect(ended).toEqual(["third", "second", "first"]);
});

test("a part that hangs does not keep the others alive", async () => {
  const ended: string[] = [];
  const parts = createParts({ limitMs: 50 });
  parts.use(part("first", ended));
  parts.use({ [Symbol.asyncDispose]: () => new Promise<void>(() => undefined) });
  await expect(parts[Symbol.asyncDispose]()).rejects.toThrow("within 50 ms");
  expect(ended).toEqual(["first"]);
});

test("what was begun is ended when a later part fails, and the first failure is told", async () => {
  const ended: string[] = [];
  await expect(assemble(async (parts) => {
    parts.use(part("first", ended, true));
    await Promise.resolve();
    throw new Error("port taken");
  })).rejects.toThrow("port taken");
  expect(ended).toEqual(["first"]);
});

test("parts that start together are ended together, also those that began beside one that failed", async () => {
  const ended: string[] = [];
  await expect(assemble(async (parts) => {
    await useAll(parts, [Promise.resolve(part("first", ended)), Promise.reject(new Error("second failed")), false, Promise.resolve(part("third", ended))]);
    return {};
  })).rejects.toThrow("second failed");
  expect(ended).toEqual(["third", "first"]);
});

test("a log line for people and one for machines; what is below the level is not shown", () => {
  const lines: string[] = [];
  const write = (line: string) => void lines.push(line);
  createLogger({ write }, "router").info("hidden");
  createLogger({ write }, "router").warn("seen", { port: 1, why: "x" });
  createLogger({ write, json: true, level: "info" }, "dea").info("seen", { id: 7 });
  expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} warn {2}router: seen port=1 why=x\n$/);
  expect(JSON.parse(lines[1] ?? "")).toMatchObject({ level: "info", part: "dea", event: "seen", id: 7 });
  expect(lines).toHaveLength(2);
});

test("the admin's password is made once, kept for its owner only, and replaced by one that is given", () => {
  const dir = mkdtempSync(join(tmpdir(), "opencf-password-"));
  try {
    const made = adminPassword(dir, undefined);
    expect(adminPassword(dir, undefined)).toBe(made);
    expect(statSync(join(dir, "admin-password")).mode & 0o777).toBe(0o600);
    expect(adminPassword(dir, "mine")).toBe("mine");
    expect(adminPassword(dir, undefined)).toBe("mine");
  } finally {
    rmSync(dir, { recursive: true });
  }
});
