import { once } from "node:events";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTcp } from "node:net";
import { X509Certificate } from "node:crypto";
import { afterAll, describe, expect, test } from "vitest";
import { createRouter, RouterError, type TlsOptions } from "../../src/index.ts";
import { echo, httpBackend } from "../fixtures/backend.ts";
import { authority, type Certificate } from "../fixtures/certificates.ts";
import { ask, eventually } from "../fixtures/client.ts";
import { manualClock, rig } from "../fixtures/rig.ts";
import { askSecurely, shake } from "../fixtures/secure.ts";

const own = authority();

describe.skipIf(own === undefined)("TLS in front", () => {
  const ca = own?.ca ?? "";
  const made = new Map<string, Certificate>();
  const certificate = (names: string, key: "rsa" | "ec" = "rsa"): Certificate => {
    const id = `${names} ${key}`;
    const held = made.get(id) ?? (own as NonNullable<typeof own>).issue({ names, key });
    made.set(id, held);
    return held;
  };
  const serial = ({ cert }: Certificate): string => new X509Certificate(cert).serialNumber;
  const securely = (tls: Partial<TlsOptions>, options: Parameters<typeof rig>[0] = {}) => rig({ tls: { port: 0, certificates: [certificate("DNS:app.example.com")], ...tls }, ...options });
  const portOf = (r: { router: { tlsAddress: { port: number } | undefined } }): number => (r.router.tlsAddress as { port: number }).port;

  async function shownFor(port: number, servername: string | undefined, options: object = {}): Promise<string> {
    const socket = await shake(port, { ca, checkServerIdentity: () => undefined, ...(servername === undefined ? {} : { servername }), ...options });
    const shown = socket.getPeerX509Certificate()?.serialNumber as string;
    socket.destroy();
    return shown;
  }

  test("13.99: a request over TLS reaches the app, which is told so", async () => {
    await using app = await httpBackend(echo);
    await using r = await securely({});
    r.serve([app]);
    const answer = await askSecurely(portOf(r), { method: "POST", body: "secret" }, { ca });
    expect([answer.status, answer.echoed().body, answer.echoed().headers["x-forwarded-proto"]]).toEqual([200, "secret", "https"]);
    expect((await ask(r.port)).echoed().headers["x-forwarded-proto"]).toBe("http");
  });

  test("13.96, 13.98: the certificate goes by name: exact before wildcard in either order, one label for a star, the first for everybody else", async () => {
    const [first, wide, exact] = [certificate("DNS:first.example.com"), certificate("DNS:*.example.com"), certificate("DNS:a.example.com,DNS:b.example.org")];
    for (const certificates of [[first, wide, exact], [first, exact, wide]]) {
      await using r = await securely({ certificates });
      for (const [name, expected] of [
        ["a.example.com", exact], ["A.EXAMPLE.COM", exact], ["b.example.org", exact], ["c.example.com", wide], ["x.c.example.com", first], ["first.example.com", first], ["other.example.net", first], [undefined, first],
      ] as const) expect([name, await shownFor(portOf(r), name)]).toEqual([name, serial(expected)]);
    }
  });

  test("13.96: RSA and ECDSA certificates for one name stand side by side", async () => {
    const [rsa, ec] = [certificate("DNS:app.example.com"), certificate("DNS:app.example.com", "ec")];
    await using r = await securely({ certificates: [rsa, ec], maxVersion: "TLSv1.2" });
    expect(await shownFor(portOf(r), "app.example.com", { ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" })).toBe(serial(ec));
    expect(await shownFor(portOf(r), "app.example.com", { ciphers: "ECDHE-RSA-AES128-GCM-SHA256" })).toBe(serial(rsa));
  });

  test("13.96: the chain is shown along with the certificate", async () => {
    const between = (own as NonNullable<typeof own>).issue({ subject: "/CN=in between", ca: true });
    const leaf = (own as NonNullable<typeof own>).issue({ names: "DNS:app.example.com", by: between });
    await using r = await securely({ certificates: [{ cert: leaf.cert + between.cert, key: leaf.key }] });
    const socket = await shake(portOf(r), { ca, servername: "app.example.com" });
    expect(socket.authorized).toBe(true);
    socket.destroy();
  });

  for (const [what, tls, client, alert] of [
    ["a cipher that is not listed", { ciphers: "ECDHE-RSA-AES128-GCM-SHA256", maxVersion: "TLSv1.2" }, { ciphers: "ECDHE-RSA-AES256-GCM-SHA384" }, /handshake.failure/i],
    ["TLS 1.1", {}, { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" }, /protocol.version/i],
    ["less than the least version", { minVersion: "TLSv1.3" }, { maxVersion: "TLSv1.2" }, /protocol.version/i],
    ["more than the highest version", { maxVersion: "TLSv1.2" }, { minVersion: "TLSv1.3" }, /protocol.version/i],
  ] as const) {
    test(`13.96: ${what} is refused`, async () => {
      await using r = await securely(tls);
      await expect(shake(portOf(r), { ca, servername: "app.example.com", ...client })).rejects.toThrow(alert);
      await eventually(() => r.router.numbers().refused_handshakes === 1);
    });
  }

  test("13.98: without a port for HTTP only HTTPS answers, and without TLS there is no way in", async () => {
    await using app = await httpBackend(echo);
    await using r = await securely({}, { port: false });
    r.serve([app]);
    expect(r.router.address).toEqual(r.router.tlsAddress);
    expect((await askSecurely(r.port, {}, { ca })).status).toBe(200);
    await expect(ask(r.port)).rejects.toThrow();
    expect(() => createRouter({ port: false })).toThrow(/leaves no way in/);
  });

  test("a connection for one name carries requests for the names of its certificate only: 421 for others", async () => {
    await using app = await httpBackend(echo);
    const certificates = [certificate("DNS:app.example.com,DNS:www.example.com"), certificate("DNS:other.example.com")];
    await using r = await securely({ certificates });
    for (const host of ["app.example.com", "www.example.com", "other.example.com"]) r.serve([app], host);
    for (const [servername, host, status] of [
      ["app.example.com", "app.example.com", 200], ["app.example.com", "www.example.com", 200], ["app.example.com", "APP.example.com:8443", 200],
      ["app.example.com", "other.example.com", 421], ["other.example.com", "app.example.com", 421], ["", "other.example.com", 200],
    ] as const) {
      const answer = await askSecurely(portOf(r), { host }, { ca, servername, checkServerIdentity: () => undefined });
      expect([servername, host, answer.status, answer.headers["x-cf-routererror"]]).toEqual([servername, host, status, status === 421 ? "misdirected_request" : undefined]);
    }
    await using lax = await securely({ certificates, hostCheck: "off" });
    lax.serve([app], "other.example.com");
    expect((await askSecurely(portOf(lax), { host: "other.example.com" }, { ca, servername: "app.example.com", checkServerIdentity: () => undefined })).status).toBe(200);
  });

  describe("certificates are changed under way", () => {
    const folder = mkdtempSync(join(tmpdir(), "opencf-edge-"));
    afterAll(() => rmSync(folder, { recursive: true, force: true }));
    let count = 0;
    function files(first: Certificate) {
      const [certFile, keyFile] = [join(folder, `${count += 1}.pem`), join(folder, `${count}.key`)];
      const put = ({ cert, key }: Certificate): void => {
        for (const [file, text] of [[certFile, cert], [keyFile, key]] as const) {
          writeFileSync(`${file}.new`, text);
          renameSync(`${file}.new`, file);
        }
      };
      put(first);
      return { certFile, keyFile, put };
    }
    const fresh = (): Certificate => (own as NonNullable<typeof own>).issue({ names: "DNS:app.example.com" });

    test("a new file is found, and open connections notice nothing", async () => {
      await using app = await httpBackend(echo);
      const [before, after] = [fresh(), fresh()];
      const { put, ...source } = files(before);
      const clock = manualClock(Date.now());
      await using r = await securely({ certificates: [source], watchMs: 1_000 }, { clock });
      r.serve([app]);
      const socket = await shake(portOf(r), { ca, servername: "app.example.com" });
      const request = async (): Promise<string> => {
        socket.write("GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
        const [data] = await once(socket, "data") as [Buffer];
        return data.toString("latin1").split("\r\n")[0] as string;
      };
      expect(await request()).toBe("HTTP/1.1 200 OK");
      expect(await shownFor(portOf(r), "app.example.com")).toBe(serial(before));
      put(after);
      await eventually(async () => { clock.advance(1_000); return await shownFor(portOf(r), "app.example.com") === serial(after); });
      expect(await shownFor(portOf(r), undefined)).toBe(serial(after));
      expect(await request()).toBe("HTTP/1.1 200 OK");
      socket.destroy();
    });

    test("what does not fit is not taken, and is taken when it does", async () => {
      const [before, after] = [fresh(), fresh()];
      const { put, ...source } = files(before);
      const said: string[] = [];
      const clock = manualClock(Date.now());
      const log = { info: () => undefined, warn: (event: string) => void said.push(event), error: () => undefined };
      await using r = await securely({ certificates: [source], watchMs: 1_000 }, { clock, log });
      put({ cert: after.cert, key: before.key });
      await eventually(() => { clock.advance(1_000); return said.includes("router.certificate.reload-failed"); });
      expect(await shownFor(portOf(r), "app.example.com")).toBe(serial(before));
      await expect(r.router.reloadTls()).rejects.toMatchObject({ code: "ROUTER_BAD_CERTIFICATE" });
      put(after);
      await r.router.reloadTls();
      expect(await shownFor(portOf(r), "app.example.com")).toBe(serial(after));
    });

    test("other certificates can be given by hand", async () => {
      const [before, after] = [fresh(), fresh()];
      await using r = await securely({ certificates: [before] });
      await r.router.reloadTls([after]);
      expect(await shownFor(portOf(r), "app.example.com")).toBe(serial(after));
    });
  });

  for (const [what, tls, code] of [
    ["no certificate", { certificates: [] }, "ROUTER_BAD_OPTION"],
    ["versions the wrong way round", { minVersion: "TLSv1.3", maxVersion: "TLSv1.2" }, "ROUTER_BAD_OPTION"],
    ["an unknown version", { minVersion: "TLSv1.1" }, "ROUTER_BAD_OPTION"],
    ["client certificates without authorities", { clientCertificates: "request" }, "ROUTER_BAD_OPTION"],
    ["a port that is none", { port: 65_536 }, "ROUTER_BAD_OPTION"],
    ["another's key", { certificates: [{ cert: "a", key: "b" }] }, "ROUTER_BAD_CERTIFICATE"],
    ["a file that is not there", { certificates: [{ certFile: "/nowhere/cert.pem", keyFile: "/nowhere/key.pem" }] }, "ROUTER_BAD_CERTIFICATE"],
    ["no such cipher", { ciphers: "NOTHING-LIKE-IT" }, "ROUTER_BAD_CERTIFICATE"],
  ] as const) {
    test(`13.110: ${what} does not start: ${code}`, async () => {
      const failed = await (async () => createRouter({ port: 0, tls: Object.assign({ port: 0, certificates: [certificate("DNS:app.example.com")] }, tls) as TlsOptions }).listen())().catch((error: unknown) => error);
      expect(failed).toBeInstanceOf(RouterError);
      expect((failed as RouterError).code).toBe(code);
    });
  }

  test("a client that does not go on with its handshake is let go", async () => {
    await using r = await securely({ handshakeTimeoutMs: 100 });
    const socket = connectTcp({ host: "127.0.0.1", port: portOf(r) });
    socket.on("error", () => undefined);
    await once(socket, "close");
    await eventually(() => r.router.numbers().refused_handshakes === 1);
  });

  test("13.102: a drain lets requests over TLS finish, and refuses new connections", async () => {
    let answer = (): void => undefined;
    await using app = await httpBackend((_, response) => { answer = () => void response.end("late"); });
    await using r = await securely({});
    r.serve([app]);
    const port = portOf(r);
    const asked = askSecurely(port, {}, { ca });
    await eventually(() => app.requests.length === 1);
    const drained = r.router.drain();
    await eventually(async () => shake(port, { ca, servername: "app.example.com" }).then((socket) => { socket.destroy(); return false; }, () => true));
    answer();
    expect([(await asked).status, (await asked).body, (await asked).headers.connection]).toEqual([200, "late", "close"]);
    await drained;
  });
});
