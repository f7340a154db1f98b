#!/usr/bin/env node
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createEdge, type Server } from "./edge.ts";

/** A plain server that says who it is and what it saw. */
async function plainServer(name: string): Promise<Server & Disposable> {
  const server = createServer((request, response) => response.end(`${name} saw ${request.url} from ${request.headers["x-caller"] ?? "a stranger"}\n`));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { host: "127.0.0.1", port: (server.address() as AddressInfo).port, [Symbol.dispose]: () => void server.close() };
}

async function main(): Promise<void> {
  const port = Number(process.env["PORT"] ?? 8080);
  const key = process.env["EDGE_KEY"] ?? "let-me-in";
  const told = new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
  });

  using shop = await plainServer("shop");
  using admin = await plainServer("admin");
  await using edge = createEdge({ shop, admin, keys: new Map([[key, "the owner of the key"]]), port, accessLog: process.stdout });
  const address = await edge.listen();
  process.stdout.write(`http://localhost:${address.port}/ goes to the shop, http://localhost:${address.port}/admin to the admin, with a key. Ctrl-C stops.\n`);
  await told;
}

try {
  await main();
} catch (error) {
  process.stderr.write(`edge-router: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
