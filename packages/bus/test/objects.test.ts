import { connect, type NatsConnection } from "nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openNatsObjects } from "@opencf/bus/objects";
import { hasNatsServer, type NatsServer, startNatsServer } from "./fixtures/nats-server.ts";

// The rules of object stores, item 51, run with the whole suite in conformance.test.ts; here is what only a server can show.
describe.skipIf(!hasNatsServer())("object stores on JetStream, on a real nats-server (apt-get install nats-server)", () => {
  let server: NatsServer;
  let connection: NatsConnection;
  beforeAll(async () => {
    server = await startNatsServer();
    connection = await connect({ servers: server.url });
  });
  afterAll(async () => {
    await connection.close();
    await server[Symbol.asyncDispose]();
  });

  test("51: the NATS client reads what is written here, and the other way round", async () => {
    await using store = await openNatsObjects(connection, "shared", { chunkBytes: 1_000 });
    const theirs = await connection.jetstream().views.os("shared");
    const bytes = Buffer.alloc(4_500, "ours");
    const info = await store.put("from/us", bytes);
    expect(Buffer.from((await theirs.getBlob("from/us")) ?? []).equals(bytes)).toBe(true);
    expect(await theirs.info("from/us")).toMatchObject({ size: 4_500, chunks: 5, digest: info.digest });
    await theirs.putBlob({ name: "from them", options: { max_chunk_size: 700 } }, Buffer.alloc(2_000, "theirs"));
    const found = await store.get("from them");
    const parts: Uint8Array[] = [];
    if (found) for await (const part of found.data) parts.push(part);
    expect(parts.map((part) => part.length)).toEqual([700, 700, 600]);
    expect(Buffer.concat(parts).equals(Buffer.alloc(2_000, "theirs"))).toBe(true);
    await store.put("from them", Buffer.from("now ours"));
    expect(new TextDecoder().decode((await theirs.getBlob("from them")) ?? undefined)).toBe("now ours");
    await store.delete("from/us");
    expect(await theirs.get("from/us")).toBeNull();
    await theirs.delete("from them");
    expect(await store.list()).toEqual([]);
  });
});
