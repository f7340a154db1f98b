import { createServer } from "node:net";
import { systemCode } from "./errors.ts";

/**
 * Claims a name for this process on this machine, or answers undefined when another process has it.
 *
 * The claim is a listening socket in Linux's abstract namespace: it needs no file, cannot go stale
 * (the kernel drops it with the process, even on SIGKILL) and is scoped to the network namespace,
 * which is also the scope of the ports we claim with it.
 */
export function claim(name: string): Promise<Disposable | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.unref();
    server.once("error", (error) => (systemCode(error) === "EADDRINUSE" ? resolve(undefined) : reject(error)));
    server.listen(`\0opencf-dea/${name}`, () => {
      let held = true;
      resolve({
        [Symbol.dispose]() {
          if (held) server.close();
          held = false;
        },
      });
    });
  });
}
