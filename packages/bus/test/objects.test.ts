import { connect, type NatsConnection } from "nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createMemoryObjects, openNatsObjects } from "@opencf/bus/objects";
import { objectCases, type ObjectsUnderTest } from "../src/objects/conformance.ts";
import { hasNatsServer, type NatsServer, startNatsServer } from "./fixtures/nats-server.ts";

describe("object stores in process", () => {
  const make = (): Promise<ObjectsUnderTest> => {
    const objects = createMemoryObjects();
    const kept = (name: string) => [...objects.chunks(name).values()].flat();
    return Promise.resolve({
      open: objects.open,
      countChunks: (name) => Promise.resolve(kept(name).length),
      tamper: (name) => {
        const last = kept(name).at(-1);
        if (last) last[0] = (last[0] ?? 0) ^ 1;
        return Promise.resolve();
      },
    });
  };
  for (const [title, check] of Object.entries(objectCases)) test(title, () => check(make));
});

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

  const make = async (): Promise<ObjectsUnderTest> => {
    const jsm = await connection.jetstreamManager();
    return {
      open: (name, options) => openNatsObjects(connection, name, options),
      countChunks: async (name) => {
        const { state } = await jsm.streams.info(`OBJ_${name}`, { subjects_filter: `$O.${name}.C.>` });
        return Object.values(state.subjects ?? {}).reduce((sum, count) => sum + count, 0);
      },
      tamper: async (name) => {
        const last = await jsm.streams.getMessage(`OBJ_${name}`, { last_by_subj: `$O.${name}.C.>` });
        await jsm.streams.deleteMessage(`OBJ_${name}`, last.seq);
        const data = Uint8Array.from(last.data);
        data[0] = (data[0] ?? 0) ^ 1;
        await connection.jetstream().publish(last.subject, data);
      },
    };
  };
  for (const [title, check] of Object.entries(objectCases)) test(title, () => check(make));

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
