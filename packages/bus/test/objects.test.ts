import { connect, type NatsConnection } from "nats";
import { afterAll, beforeAll, describe, test } from "vitest";
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
});
