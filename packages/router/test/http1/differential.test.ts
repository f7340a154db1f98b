import { createServer } from "node:http";
import { describe, expect, test } from "vitest";
import { eventually, wire } from "../fixtures/client.ts";
import { requestCases } from "./corpus.ts";
import { known } from "./differential/known.ts";
import { chanceOf } from "./differential/random.ts";
import { generate } from "./differential/generator.ts";
import { readByUs } from "./differential/ours.ts";
import { compareSeeds, differenceOf } from "./differential/run.ts";
import { readByNode } from "./differential/theirs.ts";
import { seeds } from "./differential/seeds.ts";

describe("beside llhttp", () => {
  test("twenty thousand generated messages show no difference that has no reason", () => {
    const { differences } = compareSeeds(0, 20_000);
    expect(Object.fromEntries(Object.entries(differences).filter(([what]) => !(what in known)))).toEqual({});
    // The generator is worth its time: it finds the common ones.
    for (const what of ["stricter bad_coding", "stricter no_host", "laxer HPE_INVALID_METHOD", "sooner", "later"]) expect(differences[what]?.count).toBeGreaterThan(0);
  });

  test.each(Object.entries(seeds))("seed %s: %s", (seed, what) => expect(differenceOf(Number(seed)) ?? "none").toBe(what));

  test("both read what is sound in the same way", () => {
    let whole = 0;
    for (let seed = 0; seed < 5_000; seed += 1) {
      const sample = generate(chanceOf(seed));
      const [ours, theirs] = [readByUs(sample), readByNode(sample)];
      if (ours.end !== "open" || theirs.end !== "open") continue;
      expect(ours).toEqual(theirs);
      whole += 1;
    }
    expect(whole).toBeGreaterThan(500);
  });
});

test("node:http on a socket reads no ambiguous request as more messages than we do", async () => {
  for (const { name, bytes, expect: expected } of requestCases) {
    if (bytes.length > 10_000) continue;
    const seen: string[] = [];
    const server = createServer((request, response) => {
      seen.push(request.url as string);
      request.resume().on("end", () => response.end()).on("error", () => undefined);
    });
    server.on("clientError", (_, socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      await using client = await wire((server.address() as { port: number }).port, bytes);
      client.socket.end();
      await eventually(() => client.socket.closed, 5_000, () => name);
      const read = readByUs({ side: "request", method: "", bytes: Buffer.from(bytes, "latin1") });
      if (typeof expected === "number") expect([name, seen.length]).toEqual([name, read.messages.length]);
      // A target nobody asked for would have been smuggled.
      expect([name, seen.filter((url) => url === "/smuggled")]).toEqual([name, []]);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  }
});
