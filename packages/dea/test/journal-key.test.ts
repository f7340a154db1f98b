import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readJournalKey } from "../src/cli/journal-key.ts";
import { serveOptions } from "../src/cli/serve-options.ts";
import { temporaryFolder } from "./fixtures/droplet.ts";

test.each([
  ["text with a line end", "sixteen letters!\n", "sixteen letters!"],
  ["text with a line end of Windows", "sixteen letters!\r\n", "sixteen letters!"],
  ["text with a line end within", "sixteen\nletters!", "sixteen\nletters!"],
])("dea §20.6: the journal's key comes from a file: %s", async (_name, text, key) => {
  await using folder = await temporaryFolder();
  await writeFile(join(folder.path, "key"), text);
  expect((await readJournalKey(join(folder.path, "key"))).toString()).toBe(key);
});

test("a key that is too short, or not there, is refused, and not told", async () => {
  await using folder = await temporaryFolder();
  await writeFile(join(folder.path, "key"), "short-secret\n\n\n\n");
  await expect(readJournalKey(join(folder.path, "key"))).rejects.toThrow(/holds 12 bytes; a key has at least 16$/);
  await expect(readJournalKey(join(folder.path, "none"))).rejects.toThrow("ENOENT");
});

test("--journal-key-file is an option of the program", () => {
  expect(serveOptions({ nats: ["nats://h:4222"], "journal-key-file": "/k" }, {} as Parameters<typeof serveOptions>[1], {}).journalKeyFile).toBe("/k");
});
