import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { echo, httpBackend, misbehaving } from "../fixtures/backend.ts";
import { rig } from "../fixtures/rig.ts";
import { trip, ways, type Told } from "../fixtures/ways.ts";

const shown = ({ headers }: Pick<Told, "headers">): unknown[] => ["x-vcap-router", "x-vcap-backend", "x-cf-routeendpoint"].map((name) => headers[name]);
const nothing = [undefined, undefined, undefined];

for (const way of ways) {
  describe(`13.54 which endpoint answered, by way of ${way.what}`, () => {
    for (const [what, traceKey, given, told] of [
      ["the key", "open", "open", true],
      ["another key", "open", "shut", false],
      ["the beginning of the key", "open", "ope", false],
      ["more than the key", "open", "open2", false],
      ["the key in capitals", "open", "OPEN", false],
      ["the key among others", "open", "x, open", false],
      ["an empty value", "open", "", false],
      ["no header", "open", undefined, false],
      ["an empty value where no key is set", "", "", false],
      ["any value where no key is set", "", "open", false],
      ["no header where no key is set", "", undefined, false],
    ] as const) {
      test(`${what}: ${told ? "told" : "not told"}`, async () => {
        await using t = await trip(way, { options: { traceKey, id: "router-7" } });
        const answer = await t.ask({ headers: given === undefined ? {} : { "X-Vcap-Trace": given } });
        expect([answer.status, ...shown(answer)]).toEqual([200, ...told ? ["router-7", `127.0.0.1:${t.app.port}`, `127.0.0.1:${t.app.port}`] : nothing]);
      });
    }

    test("the router's own answers tell of no endpoint, whoever asks", async () => {
      await using t = await trip(way, { options: { traceKey: "open" } });
      await using gone = await misbehaving.refuses();
      t.r.router.table.register("gone.example.com", { host: gone.host, port: gone.port, protocol: way.protocol });
      for (const [host, status] of [["nobody.example.com", 404], ["gone.example.com", 502]] as const) {
        const answer = await t.ask({ host, headers: { "x-vcap-trace": "open" } });
        expect([answer.status, ...shown(answer)]).toEqual([status, ...nothing]);
      }
    });
  });
}

test("13.54 who opens a WebSocket is told too, with the key alone", async () => {
  await using app = await httpBackend(echo);
  const sockets = new WebSocketServer({ server: app.server });
  await using r = await rig({ traceKey: "open", id: "router-7" });
  r.serve([app]);
  for (const [key, expected] of [["open", ["router-7", `127.0.0.1:${app.port}`, `127.0.0.1:${app.port}`]], ["shut", nothing]] as const) {
    const socket = new WebSocket(`ws://127.0.0.1:${r.port}/`, { headers: { host: "app.example.com", "x-vcap-trace": key } });
    const [answer] = await once(socket, "upgrade") as [IncomingMessage];
    expect(shown(answer)).toEqual(expected);
    socket.terminate();
  }
  sockets.close();
});
