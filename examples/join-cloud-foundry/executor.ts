import { createBus, natsTransport } from "@opencf/bus";
import { createDea, MiB } from "@opencf/dea";
import { joinBus } from "@opencf/dea/bus-link";

export interface Executor extends AsyncDisposable {
  readonly id: string;
}

export interface ExecutorOptions {
  nats: string;
  /** Address under which the router reaches instances. */
  host: string;
  dataDir: string;
}

/** All that it takes to be an executor of a Cloud Foundry: a bus, an executor, and one line that joins them. */
export async function joinAsExecutor({ nats, host, dataDir }: ExecutorOptions): Promise<Executor> {
  const bus = await createBus({ transport: natsTransport({ servers: [nats] }) });
  const dea = await createDea({ dataDir, host, memoryBytes: 1_024 * MiB });
  const member = await joinBus(dea, bus, { zone: "z1", stacks: ["cflinuxfs4"] });
  return {
    id: member.id,
    async [Symbol.asyncDispose]() {
      await member.leave({ instances: "stop" });
      await bus[Symbol.asyncDispose]();
    },
  };
}
