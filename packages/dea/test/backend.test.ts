import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { processBackend, type ProcessBackendOptions } from "../src/index.ts";
import { backendConformance } from "@opencf/dea/conformance";
import { hostView } from "../src/container/sandbox/view.ts";
import { probeSandboxes } from "../src/container/sandbox/probe.ts";

const make = (options: ProcessBackendOptions) => async () => {
  const dir = await mkdtemp(join(tmpdir(), "opencf-dea-backend-"));
  return {
    backend: processBackend(options),
    again: async () => processBackend(options),
    dir,
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
  };
};

backendConformance("process", { test, make: make({ isolate: "none" }) });
backendConformance("process, kept by sh", {
  test,
  make: make({ shell: ["/bin/sh"], isolate: "none" }),
  cannot: { "gives arguments and environment to the kernel as they are": "a plain sh may drop variables whose names are no identifiers" },
});

for (const { kind, ok, detail } of probeSandboxes(hostView({ path: process.env["PATH"] ?? "" }), { all: true })) {
  if (ok) backendConformance(`process in ${kind}`, { test, make: make({ isolate: kind }) });
  else test.skip(`process in ${kind}: ${detail}`, () => {});
}
