import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { parseConfig } from "../../src/config/config.ts";
import { defaultSteps, rewriteAnswers, type RouterOptions } from "../../src/index.ts";
import { echo, httpBackend, misbehaving, rawBackend } from "../fixtures/backend.ts";
import { ask, type Answer } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";
import { trip, ways } from "../fixtures/ways.ts";

/** As an operator writes it. */
const written = async (responses: string): Promise<RouterOptions> => {
  const { router: { steps } } = await parseConfig(`http_rewrite:\n  responses:\n${responses}`, "router.yml");
  return steps === undefined ? {} : { steps };
};
const usual = `    remove_headers: [{name: SERVER}, {name: x-secret}, {name: X-Cf-RouterError}, {name: x-vcap-request-ID}]
    add_headers_if_not_present: [{name: X-FRAME-options, value: DENY}, {name: Vary, value: A}, {name: Vary, value: B}, {name: x-secret, value: replaced}]
`;
const values = ({ rawHeaders }: Pick<Answer, "rawHeaders">, name: string): string[] => rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === name);

for (const way of ways) {
  describe(`13.56 headers of answers, by way of ${way.what}`, () => {
    test("the app's: some go, whatever their case; others come, unless the app has set them; what was removed can be set anew", async () => {
      const answers = { Server: "app/1", "X-Secret": "1", "x-frame-OPTIONS": "SAMEORIGIN", "X-Own": "1" };
      await using t = await trip(way, { options: await written(usual), answers });
      const { status, headers } = await t.ask();
      expect([status, headers]).toEqual([200, expect.objectContaining({ "x-frame-options": "SAMEORIGIN", vary: "A, B", "x-secret": "replaced", "x-own": "1" })]);
      for (const name of ["server", "x-vcap-request-id"]) expect(headers).not.toHaveProperty(name);
    });

    test("the router's own: the same", async () => {
      await using t = await trip(way, { options: await written(usual) });
      await using gone = await misbehaving.refuses();
      t.r.router.table.register("gone.example.com", { host: gone.host, port: gone.port, protocol: way.protocol });
      for (const [host, expected] of [["nobody.example.com", 404], ["gone.example.com", 502]] as const) {
        const { status, headers } = await t.ask({ host });
        expect([status, headers]).toEqual([expected, expect.objectContaining({ "x-frame-options": "DENY", vary: "A, B", "x-secret": "replaced" })]);
        for (const name of ["x-cf-routererror", "x-vcap-request-id"]) expect(headers).not.toHaveProperty(name);
      }
    });

    test("the signature of route services leaves in no answer, though nothing is to be removed", async () => {
      await using t = await trip(way, { answers: { "x-cf-PROXY-signature": "secret", "X-CF-Proxy-Metadata": "passes" } });
      const { headers } = await t.ask();
      expect(headers).not.toHaveProperty("x-cf-proxy-signature");
      expect(headers["x-cf-proxy-metadata"]).toBe("passes");
    });
  });
}

describe("13.56 headers of answers, one by one", () => {
  test("each value is a header of its own, in the order and the spelling of the configuration", async () => {
    await using app = await httpBackend((_, response) => response.end());
    await using r = await rig(await written(usual));
    r.serve([app]);
    for (const host of ["app.example.com", "nobody.example.com"]) {
      const answer = await ask(r.port, { host });
      expect(values(answer, "vary")).toEqual(["A", "B"]);
      expect(answer.rawHeaders).toContain("X-FRAME-options");
    }
  });

  test("all values of the app go when one is to be removed, and one of them is enough for none to be added", async () => {
    await using app = await rawBackend((socket) => socket.once("data", () => {
      socket.end("HTTP/1.1 200 OK\r\nX-Secret: 1\r\nVary: Mine\r\nx-SECRET: 2\r\nX-secret:\r\nContent-Length: 0\r\n\r\n");
    }));
    await using r = await rig(await written("    remove_headers: [{name: x-Secret}]\n    add_headers_if_not_present: [{name: vary, value: A}, {name: VARY, value: B}]\n"));
    r.serve([app]);
    const answer = await ask(r.port);
    expect([values(answer, "x-secret"), values(answer, "vary")]).toEqual([[], ["Mine"]]);
  });

  test("an empty header of the app is one that is there", async () => {
    await using app = await rawBackend((socket) => socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\nVary:\r\nContent-Length: 0\r\n\r\n")));
    await using r = await rig(await written("    add_headers_if_not_present: [{name: Vary, value: A}]\n"));
    r.serve([app]);
    expect(values(await ask(r.port), "vary")).toEqual([""]);
  });

  test("two steps, one after the other: the one that stands first has its way first", async () => {
    await using app = await httpBackend((_, response) => response.setHeader("X-A", "1").end());
    await using r = await rig({ steps: [rewriteAnswers({ remove: ["x-a"] }), rewriteAnswers({ addIfMissing: { "X-A": ["2", "3"] } }), ...defaultSteps] });
    r.serve([app]);
    expect(values(await ask(r.port), "x-a")).toEqual(["2", "3"]);
  });

  test("an open WebSocket too", async () => {
    await using app = await httpBackend(echo);
    const sockets = new WebSocketServer({ server: app.server });
    sockets.on("headers", (headers) => headers.push("X-Secret: 1", "Server: app/1", "X-CF-Proxy-Signature: secret"));
    await using r = await rig(await written(usual));
    r.serve([app]);
    const socket = new WebSocket(`ws://127.0.0.1:${r.port}/`, { headers: { host: "app.example.com" } });
    const [answer] = await once(socket, "upgrade") as [IncomingMessage];
    expect(answer.headers).toMatchObject({ "x-frame-options": "DENY", vary: "A, B", "x-secret": "replaced" });
    for (const name of ["server", "x-cf-proxy-signature", "x-vcap-request-id"]) expect(answer.headers).not.toHaveProperty(name);
    socket.terminate();
    sockets.close();
  });
});
