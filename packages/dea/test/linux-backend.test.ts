import { statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { backendConformance } from "@opencf/dea/conformance";
import { linuxBackend } from "../src/linux/linux-backend.ts";
import { probeLinux } from "../src/linux/probe.ts";

// Every runtime that stands here passes the same suite.
for (const runtime of ["runc", "crun"]) {
  const host = await probeLinux({ runtimes: [runtime] });
  const lacks = host.findings.filter(({ ok, needed }) => needed && !ok).map(({ name, detail }) => `${name}: ${detail}`).join(", ");
  if (!host.able) test.skip(`linux backend with ${runtime}: this machine lacks ${lacks}`, () => {});
  else {
    backendConformance(`linux with ${runtime}`, {
      test: (title, run) => test(title, run, 60_000),
      make: async () => {
        const dir = await mkdtemp(join(tmpdir(), "opencf-dea-linux-"));
        return { backend: await linuxBackend({ runtime }), again: () => linuxBackend({ runtime }), dir, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
      },
    });

    test(`linux with ${runtime}: devices of the host are given to nobody inside`, () => {
      for (const device of ["/dev/null", "/dev/zero", "/dev/tty", "/dev/ptmx"]) expect([device, statSync(device).uid]).toEqual([device, 0]);
    });
  }
}
