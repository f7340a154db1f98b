import { type Body, type Bus, BusError } from "@opencf/bus";
import { deaAdvertise, deaLocate, deaShutdown, deaStartInstance, deaTask } from "@opencf/bus/messages";
import { textOf } from "../errors.ts";
import { MiB } from "../instance/spec.ts";
import type { Answer, Send } from "../placement/deliver.ts";
import type { HostNews, Placer } from "../placement/placer.ts";
import { runtimeWish } from "../placement/runtime.ts";
import type { PlacementRequest, RuntimeOffer } from "../placement/shapes.ts";
import { type Logger, silentLogger } from "../ports.ts";
import type { StartMessage } from "./start-message.ts";
import type { TaskMessage } from "./task-message.ts";

const bytes = (mb: number): number => Math.floor(mb * MiB);

/** A runtime that is named only, as in v1, stands there in a version nobody knows. */
function runtimesOf({ runtimes = [], runtime_details: details = [] }: Body<typeof deaAdvertise>): RuntimeOffer[] {
  const told = details.map(({ name, version }) => (version === undefined ? { name } : { name, version }));
  return [...told, ...runtimes.filter((name) => !told.some((each) => each.name === name)).map((name) => ({ name }))];
}

/** An advertisement as the placement reads it; those of the original lack most of it. An empty segment or zone is none. */
export function hostOf(body: Body<typeof deaAdvertise>): HostNews {
  const { placement_properties: { zone, isolation_segment: pool } = {}, available_disk: disk, counted_commands: counted } = body;
  const room = (free: number, total: number | undefined) => ({ freeBytes: bytes(free), ...(total !== undefined && total > 0 && { totalBytes: bytes(total) }) });
  return {
    id: body.id,
    stacks: body.stacks,
    runtimes: runtimesOf(body),
    memory: room(body.available_memory, body.total_memory),
    instances: body.app_id_to_count ?? {},
    ...(zone && { zone }),
    ...(pool && { pool }),
    ...(disk !== undefined && { disk: room(disk, body.total_disk) }),
    ...(body.available_instances !== undefined && { freeInstances: body.available_instances }),
    ...(counted && { counted }),
    ...(body.enforces && { enforces: body.enforces }),
  };
}

/** What a start message, or a task, asks of a host: the request for a placer's `deliver`. The message does not know the isolation segment. */
export function requestOf({ droplet, stack, limits, runtime, requires }: Pick<StartMessage, "droplet" | "stack" | "limits" | "runtime" | "requires">, { isolationSegment }: { isolationSegment?: string | undefined } = {}): PlacementRequest {
  return {
    app: droplet,
    memoryBytes: limits.mem * MiB,
    diskBytes: limits.disk * MiB,
    ...(stack !== undefined && { stack }),
    ...(runtime && { runtimes: [runtimeWish(runtime)] }),
    ...(requires && { requires }),
    ...(isolationSegment !== undefined && { pool: isolationSegment }),
  };
}

/**
 * Tells a placer what executors advertise, from now on, and asks them to do so at once. Disposing stops it. After the bus was away
 * every executor gets another term, for its silence said nothing.
 */
export function followExecutors(placer: Placer, bus: Bus, { log = silentLogger }: { log?: Logger } = {}): Disposable {
  const parts: Disposable[] = [
    bus.subscribe(deaAdvertise, ({ body }) => {
      try {
        if (!placer.hear(hostOf(body))) log.warn("placement.full", { executor: body.id });
      } catch (error) {
        log.warn("placement.advertisement", { executor: body.id, reason: textOf(error) });
      }
    }),
    bus.subscribe(deaShutdown, ({ body }) => void placer.remove(body.id)),
    bus.onStatus((status) => {
      if (status !== "connected") return;
      placer.renew();
      bus.publish(deaLocate, {});
    }),
  ];
  bus.publish(deaLocate, {});
  return {
    [Symbol.dispose]() {
      for (const part of parts) part[Symbol.dispose]();
    },
  };
}

/** What a failed request says about the executor. Those of the original never answer, and have the command all the same. */
const failures: Readonly<Record<string, Answer>> = {
  BUS_TIMEOUT: "silent", BUS_NO_RESPONDERS: "gone", BUS_DISCONNECTED: "failed", BUS_CLOSED: "failed",
};
/** What a refusal says about it, by the code of the executor's error. */
const refusals: Readonly<Record<string, Answer>> = { DEA_NO_CAPACITY: "full", DEA_CLOSED: "gone" };

/** What `dea.{id}.start` and `dea.{id}.task` answer. */
type Ack = { accepted: boolean; reason?: string; code?: string };

const sending = (ask: (host: string, id: string) => Promise<Ack>): Send => async (host, id) => {
  try {
    const { accepted, code = "", reason = "refused" } = await ask(host, id);
    return accepted ? "accepted" : { answer: refusals[code] ?? "refused", reason };
  } catch (error) {
    if (!(error instanceof BusError)) throw error;
    return { answer: failures[error.code] ?? "refused", reason: error.message };
  }
};

/** Sends `dea.{id}.start` for a placer's `deliver`. The command goes by the promise's id. `timeoutMs`: default 3 000. */
export const sendStart = (bus: Bus, command: StartMessage, { timeoutMs = 3_000 }: { timeoutMs?: number } = {}): Send =>
  sending((host, id) => bus.request(deaStartInstance, { ...command, command_id: id }, { params: { id: host }, timeoutMs }));

/** Sends `dea.{id}.task` for a placer's `deliver`, as {@link sendStart} does. The task keeps its `task_id`. `timeoutMs`: default 3 000. */
export const sendTask = (bus: Bus, task: TaskMessage, { timeoutMs = 3_000 }: { timeoutMs?: number } = {}): Send =>
  sending((host, id) => bus.request(deaTask, { ...task, command_id: id }, { params: { id: host }, timeoutMs }));
