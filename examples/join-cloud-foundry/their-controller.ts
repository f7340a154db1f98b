import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { connectRaw } from "./raw-nats.ts";

export interface App {
  /** A droplet: a tar file with `app/` and `staging_info.yml`. */
  dropletFile: string;
  guid: string;
  uri: string;
  memoryMb?: number;
}

export interface TheirController extends AsyncDisposable {
  /** Executors that advertise room. */
  readonly executors: ReadonlySet<string>;
  /** States of an app's instances, as the newest heartbeat has them. */
  states(guid: string): string[];
  /** Starts one instance on the first executor that has room. @throws Error when none says so within 20 s */
  start(app: App): Promise<string>;
  stop(guid: string): void;
}

interface Heartbeat { dea: string; droplets: { droplet: string; state: string }[] }

/** What a controller of 2013 to 2016 said on NATS, and nothing else: no field of ours, no answer expected. */
export async function startTheirController(nats: string): Promise<TheirController> {
  const wire = await connectRaw(nats);
  const executors = new Set<string>();
  const beats = new Map<string, Heartbeat>();
  const files = new Map<string, Buffer>();
  wire.subscribe("dea.advertise", (body) => void executors.add((body as { id: string }).id));
  wire.subscribe("dea.shutdown", (body) => void executors.delete((body as { id: string }).id));
  wire.subscribe("dea.heartbeat", (body) => void beats.set((body as Heartbeat).dea, body as Heartbeat));
  wire.publish("dea.locate");

  const server = createServer((request, response) => {
    const bytes = files.get(request.url ?? "");
    response.writeHead(bytes ? 200 : 404).end(bytes);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");

  return {
    executors,
    states: (guid) => [...beats.values()].flatMap(({ droplets }) => droplets.filter(({ droplet }) => droplet === guid).map(({ state }) => state)),
    async start({ dropletFile, guid, uri, memoryMb = 128 }) {
      const bytes = await readFile(dropletFile);
      files.set(`/${guid}`, bytes);
      for (const deadline = Date.now() + 20_000; executors.size === 0; await new Promise((next) => setTimeout(next, 50)))
        if (Date.now() > deadline) throw new Error("no executor advertises itself");
      const [id = ""] = executors;
      wire.publish(`dea.${id}.start`, {
        droplet: guid, version: "5f2a1f0e-1", index: 0, name: uri.split(".")[0], uris: [uri], prod: false,
        sha1: createHash("sha1").update(bytes).digest("hex"), executableFile: "deprecated", executableUri: `http://127.0.0.1:${(server.address() as AddressInfo).port}/${guid}`,
        stack: "cflinuxfs4", start_command: null, health_check_timeout: 60, limits: { mem: memoryMb, disk: 256, fds: 16_384 }, cc_partition: "default",
        env: ["GREETING=hello from somebody else's cloud"], services: [], egress_network_rules: [], console: false, debug: null,
        vcap_application: { application_id: guid, application_name: uri.split(".")[0], application_uris: [uri], limits: { mem: memoryMb, disk: 256, fds: 16_384 }, users: null },
      });
      return id;
    },
    stop: (guid) => wire.publish("dea.stop", { droplet: guid }),
    async [Symbol.asyncDispose]() {
      wire[Symbol.dispose]();
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
