import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

/** A droplet where executors can fetch it. */
export interface ServedDroplet extends AsyncDisposable {
  readonly url: string;
  readonly sha256: string;
}

/** Packs a folder as a droplet (it becomes `app/`) and serves it. `host`: an address that executors reach. Default 127.0.0.1. */
export async function serveDroplet(folder: string, { host = "127.0.0.1" }: { host?: string } = {}): Promise<ServedDroplet> {
  const work = await mkdtemp(join(tmpdir(), "opencf-jobs-"));
  try {
    await cp(folder, join(work, "droplet", "app"), { recursive: true });
    const file = join(work, "droplet.tgz");
    await promisify(execFile)("tar", ["-czf", file, "-C", join(work, "droplet"), "."]);
    const bytes = await readFile(file);
    const server = createServer((_, response) => response.setHeader("content-type", "application/gzip").end(bytes));
    server.listen(0, host);
    await once(server, "listening");
    return {
      url: `http://${host}:${(server.address() as AddressInfo).port}/droplet.tgz`,
      sha256: createHash("sha256").update(bytes).digest("hex"),
      async [Symbol.asyncDispose]() {
        server.closeAllConnections();
        server.close();
        await once(server, "close");
      },
    };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
