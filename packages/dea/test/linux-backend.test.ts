import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { backendConformance } from "@opencf/dea/conformance";
import { linuxBackend } from "../src/linux/linux-backend.ts";
import { probeLinux } from "../src/linux/probe.ts";

const host = await probeLinux();
const lacks = host.findings.filter(({ ok, needed }) => needed && !ok).map(({ name }) => name).join(", ");

if (!host.able) test.skip(`linux backend: this machine lacks ${lacks}`, () => {});
else {
  backendConformance("linux", {
    test: (title, run) => test(title, run, 60_000),
    make: async () => {
      const dir = await mkdtemp(join(tmpdir(), "opencf-dea-linux-"));
      return { backend: await linuxBackend(), again: () => linuxBackend(), dir, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
    },
  });
}
