import fc from "fast-check";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { codes, fates, fromWire, StagingError, toStagingError, toWire } from "../src/errors.ts";
import { createLineSplitter, createTail } from "../src/lines.ts";
import { maskSecrets, splitCredentials } from "../src/mask.ts";
import { mergeLaunches, parseRelease } from "../src/outputs.ts";

describe("lines", () => {
  const split = (chunks: readonly Uint8Array[], limit?: number): string[] => {
    const lines: string[] = [];
    const splitter = createLineSplitter((text) => lines.push(text), limit);
    for (const chunk of chunks) splitter.write(chunk);
    splitter.end();
    return lines;
  };
  test("come out the same however the bytes are cut", () => {
    fc.assert(fc.property(fc.array(fc.string({ unit: "grapheme" })), fc.array(fc.nat(), { maxLength: 10 }), (parts, cuts) => {
      const text = parts.join("\n");
      const bytes = Buffer.from(text);
      const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
      const chunks = at.slice(1).map((end, index) => bytes.subarray(at[index], end));
      expect(split(chunks)).toEqual(split([bytes]));
      if (!/\r/.test(text)) expect(split([bytes]).join("\n")).toBe(text.replace(/\n$/, ""));
    }));
  });
  test("are bounded, and nothing is lost", () => {
    fc.assert(fc.property(fc.string({ unit: "grapheme", maxLength: 200 }).filter((text) => !/[\r\n]/.test(text)), fc.integer({ min: 2, max: 20 }), (text, limit) => {
      const lines = split([Buffer.from(text)], limit);
      expect(lines.join("")).toBe(text);
      expect(Math.max(0, ...lines.map((line) => line.length))).toBeLessThanOrEqual(limit);
    }));
  });
  test("lose the carriage return before the line feed", () => expect(split([Buffer.from("a\r\nb\rc\n\nd")])).toEqual(["a", "b\rc", "", "d"]));
  test("a tail keeps the last ones, short", () => {
    const tail = createTail(2);
    for (const text of ["a", "b", "c".repeat(5_000)]) tail.push(text);
    expect(tail.lines[0]).toBe("b");
    expect(tail.lines[1]?.length).toBeLessThan(1_100);
  });
});

describe("secrets", () => {
  test.each([
    ["clone https://user:pass@host/x.git failed", "clone https://***:***@host/x.git failed"],
    ["https://token@host/x", "https://***@host/x"],
    ["https://host/x?signature=abc&n=1", "https://host/x?signature=***&n=1"],
    ["https://host/x?n=1&access_token=abc#f", "https://host/x?n=1&access_token=***#f"],
    ["Authorization: Basic dTpw", "Authorization: Basic ***"],
    ["https://host/a@b", "https://host/a@b"],
    ["nothing here", "nothing here"],
  ])("in %j are hidden", (text, expected) => expect(maskSecrets(text)).toBe(expected));
  test("never survive, wherever the URL stands", () => {
    fc.assert(fc.property(fc.stringMatching(/^[a-zA-Z0-9%._~-]{8,30}$/), fc.string(), (secret, around) => {
      expect(maskSecrets(`${around} https://me:${secret}@host.example/x`)).not.toContain(`:${secret}@`);
    }));
  });
  test("become a header", () => {
    const { url, authorization } = splitCredentials(new URL("https://u%40x:p%3A1@host/x"));
    expect(url.href).toBe("https://host/x");
    expect(Buffer.from(authorization?.slice(6) ?? "", "base64").toString()).toBe("u@x:p:1");
  });
});

describe("errors", () => {
  const rows = readFileSync(new URL("../../../docs/errors/staging.md", import.meta.url), "utf8");
  test.each(codes.map((code) => [code]))("%s is documented and survives the wire", (code) => {
    expect(rows).toContain(`| \`${code}\` |`);
    const failure = { phase: "compile", buildpack: "b", exit: 1, tail: ["x"] } as const;
    const back = fromWire(JSON.parse(JSON.stringify(toWire(new StagingError(code, "why", failure)))) as never);
    expect(back).toMatchObject({ name: "StagingError", code, message: "why", id: fates[code].id, builderExit: fates[code].builderExit, failure });
  });
  test("of the system keep their cause; a full disk has a code of its own", () => {
    const full = Object.assign(new Error("write"), { code: "ENOSPC" });
    expect(toStagingError(full)).toMatchObject({ code: "STAGING_DISK_FULL", retryable: true, cause: full });
    expect(toStagingError(new Error("x"))).toMatchObject({ code: "STAGING_INTERNAL" });
    expect(fromWire({ code: "STAGING_FROM_THE_FUTURE" as never, message: "m" })).toMatchObject({ code: "STAGING_INTERNAL", message: "m" });
  });
});

test("release output of any kind is understood or refused, never worse", () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json(), fc.dictionary(fc.string(), fc.string()).map((types) => JSON.stringify({ default_process_types: types }))), (text) => {
    try {
      for (const command of parseRelease(text, "b").processes.values()) expect(command).toBeTypeOf("string");
    } catch (error) {
      expect(error).toMatchObject({ code: "STAGING_RELEASE_INVALID" });
    }
  }));
});

test("merging keeps a name once, as process or as sidecar, the later kind", () => {
  const name = fc.constantFrom("web", "a", "b", "c");
  const launch = fc.record({ processes: fc.uniqueArray(name), sidecars: fc.uniqueArray(name) }).map(({ processes, sidecars }) => ({
    processes: new Map(processes.map((each) => [each, each])), sidecars: new Map(sidecars.map((each) => [each, { name: each, command: each, processTypes: ["web"] }])),
  }));
  fc.assert(fc.property(fc.array(launch), (launches) => {
    const { processes, sidecars } = mergeLaunches(launches);
    expect([...processes.keys()].filter((each) => sidecars.has(each))).toEqual([]);
    expect(new Set([...processes.keys(), ...sidecars.keys()])).toEqual(new Set(launches.flatMap((each) => [...each.processes.keys(), ...each.sidecars.keys()])));
  }));
});
