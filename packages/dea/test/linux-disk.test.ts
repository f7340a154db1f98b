import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Container } from "../src/index.ts";
import { probeLinux } from "../src/linux/probe.ts";
import { type Cell, openCell } from "./fixtures/linux-cell.ts";

const MiB = 1024 ** 2;

/** Every kind of disk holds what it promises, measured; where a machine lacks one, that is said. */
for (const kind of ["loop", "tmpfs"] as const) {
  const host = await probeLinux({ disks: [kind] });
  const lacks = host.findings.filter(({ ok, needed }) => needed && !ok).map(({ name, detail }) => `${name}: ${detail}`).join(", ");
  describe.skipIf(!host.able)(`dea §7, disk: ${kind}${host.able ? "" : ` (this machine lacks ${lacks})`}`, () => {
    let cell: Cell;
    let app: Container;
    beforeAll(async () => {
      cell = await openCell({ disk: kind });
      app = await cell.make({ diskBytes: 40 * MiB, inodes: 600 });
      await cell.start(app, "while :; do sleep 1000; done");
    }, 120_000);
    afterAll(async () => expect(await cell.close()).toEqual([]), 60_000);

    test("is declared, with the time that making one takes", () => {
      expect(host.findings.find(({ name }) => name === "disk quota")?.detail).toMatch(kind === "loop" ? /^loop-mounted images, one made in \d+ ms$/ : /^tmpfs: disks are kept in memory and swap, one made in \d+ ms$/);
      expect(cell.backend.capabilities).toMatchObject({ disk: "kernel", enforces: { disk: true, inodes: true } });
      expect(cell.backend.capabilities.warnings.some((warning) => warning.startsWith("Disks are kept in memory"))).toBe(kind === "tmpfs");
    });

    test("by bytes: home, /tmp and the rest of the root together, and what is deleted is free again", async () => {
      const fill = "dd if=/dev/zero of=a bs=1M count=15 2>/dev/null; dd if=/dev/zero of=/tmp/b bs=1M count=15 2>/dev/null; dd if=/dev/zero of=/var/tmp/c bs=64k count=900 2>&1 | grep -o 'No space left'; stat -c %s a /tmp/b /var/tmp/c";
      const [word, ...sizes] = (await cell.say(app, `cd; ${fill}`)).trim().split("\n");
      expect(word).toBe("No space left");
      const total = sizes.map(Number).reduce((sum, size) => sum + size, 0);
      // A file system's own tables are guessed: what they do not take is the app's.
      expect(total).toBeLessThanOrEqual(42 * MiB);
      expect(total).toBeGreaterThan(36 * MiB);
      const full = await app.usage();
      expect(full.diskBytes).toBeGreaterThan(36 * MiB);
      expect(full.diskBytes).toBeLessThanOrEqual(40 * MiB);
      await cell.say(app, "cd; rm a /tmp/b /var/tmp/c");
      expect((await app.usage()).diskBytes).toBeLessThan(4 * MiB);
    }, 60_000);

    test("by files: bounded where bytes are left", async () => {
      const many = "mkdir many; i=0; while [ $i -lt 1000 ]; do { : >many/$i; } 2>/dev/null || break; i=$((i+1)); done; echo $i; dd if=/dev/zero of=many/0 bs=1M count=4 2>/dev/null && echo bytes";
      const [files, bytes] = (await cell.say(app, `cd; ${many}`)).trim().split("\n");
      expect(Number(files)).toBeGreaterThan(500);
      expect(Number(files)).toBeLessThanOrEqual(616);
      expect(bytes).toBe("bytes");
      expect((await app.usage()).inodes).toBeGreaterThan(500);
    }, 60_000);

    test("a sparse file takes what it holds, and promises nothing", async () => {
      expect(await cell.say(app, "cd; rm -rf many; truncate -s 10G sparse && du -k sparse | cut -f1; rm sparse")).toBe("0\n");
    }, 60_000);
  });
}
