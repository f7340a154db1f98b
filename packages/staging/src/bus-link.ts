import { randomUUID } from "node:crypto";
import { mkdir, statfs } from "node:fs/promises";
import { totalmem } from "node:os";
import type { Bus, Delivery } from "@opencf/bus";
import { stagingAdvertise, stagingLocate, stagingStart, stagingStop } from "@opencf/bus/messages";
import { type BuildOptions, serveRequest } from "./bus/build.ts";
import { createLineSender } from "./bus/log-lines.ts";
import { mebibyte, memoryMbOf, type StagingRequest } from "./bus/request.ts";
import { StagingError, toStagingError } from "./errors.ts";
import { silentLogger, systemClock } from "./ports.ts";
import { recoverStaging } from "./script/work-folder.ts";
import { defaultStack, defaultWorkDir, type Droplet } from "./stage.ts";

export interface StagerOptions extends Partial<BuildOptions> {
  /** Name on the bus. Default: random. */
  id?: string;
  /** Builds at a time; more are refused. Default 4. */
  maxConcurrent?: number;
  /** Memory to give away to builds. Default: three quarters of the machine's. */
  memoryBytes?: number;
  /** Time between advertisements. Default 5 000 ms. */
  advertiseIntervalMs?: number;
}

/** A stager at work on a bus. Disposing it stops its builds; their requests get an answer. */
export interface Stager extends AsyncDisposable {
  readonly id: string;
  /** Builds at work. */
  readonly running: number;
}

interface Running {
  readonly appId: string;
  readonly taskId: string;
  readonly memoryMb: number;
  readonly stop: AbortController;
  done: Promise<void>;
}

/**
 * Answers `staging.<id>.start`: fetches the package, stages it, sends the droplet by HTTP PUT, and replies twice, at the start and at the end.
 * Advertises its room every 5 s, stops builds on `staging.stop`, and sends every line to the log store.
 */
export async function serveStaging(bus: Bus, options: StagerOptions = {}): Promise<Stager> {
  const {
    id = randomUUID(), stacks = [defaultStack], workDir = defaultWorkDir(), maxConcurrent = 4, memoryBytes = Math.floor(totalmem() * 0.75),
    advertiseIntervalMs = 5_000, clock = systemClock, log = silentLogger,
  } = options;
  const recovered = await recoverStaging(workDir);
  if (recovered.tasks.length > 0) log.warn("staging.recovered", { ...recovered });
  await mkdir(workDir, { recursive: true });

  const running = new Map<string, Running>();
  let closed = false;
  const room = (): number => {
    const taken = [...running.values()].reduce((sum, { memoryMb }) => sum + memoryMb, 0);
    return running.size >= maxConcurrent || closed ? 0 : Math.max(0, Math.floor(memoryBytes / mebibyte) - taken);
  };
  const advertise = async (): Promise<void> => {
    const disk = await statfs(workDir).then(({ bavail, bsize }) => Math.floor((bavail * bsize) / mebibyte), () => undefined);
    if (!closed) bus.publish(stagingAdvertise, { id, stacks: [...stacks], available_memory: room(), ...(disk !== undefined && { available_disk: disk }) });
  };
  const say = (): void => void advertise().catch((error: unknown) => log.warn("staging.advertise_failed", { reason: String(error) }));
  let timer: Disposable | undefined;
  const beat = (): void => {
    say();
    if (!closed) timer = clock.after(advertiseIntervalMs, beat);
  };

  const start = (delivery: Delivery<typeof stagingStart>): void => {
    const { body: request } = delivery;
    const setup = (error: string | null): void => void delivery.respond({ task_id: request.task_id, task_streaming_log_url: null, error });
    // The same task again is the same wish: it is under way.
    if (running.has(request.task_id)) return setup(null);
    const refusal = refuse(request);
    if (refusal) {
      log.info("staging.refused", { task: request.task_id, reason: refusal });
      return setup(refusal);
    }
    setup(null);
    const task: Running = { appId: request.app_id, taskId: request.task_id, memoryMb: memoryMbOf(request), stop: new AbortController(), done: Promise.resolve() };
    running.set(task.taskId, task);
    log.info("staging.started", { task: task.taskId, app: task.appId });
    task.done = serve(request, task.stop.signal)
      .then((answer) => {
        running.delete(task.taskId);
        log.info("staging.ended", { task: task.taskId, app: task.appId, ...(answer.error && { reason: answer.error }) });
        delivery.respond({ ...answer, dea_id: id });
      })
      .catch((error: unknown) => log.error("staging.reply_failed", { task: task.taskId, reason: String(error) }))
      .finally(() => {
        running.delete(task.taskId);
        say();
      });
    say();
  };
  const refuse = (request: StagingRequest): string | undefined => {
    if (closed) return "this stager is stopping";
    if (running.size >= maxConcurrent) return `this stager has ${running.size} builds at work and takes no more`;
    if (memoryMbOf(request) > room()) return `this stager has ${room()} MB of memory left, and the build needs ${memoryMbOf(request)} MB`;
    if (request.stack !== undefined && !stacks.includes(request.stack)) return `this stager does not have the stack ${request.stack}`;
    return undefined;
  };

  async function serve(request: StagingRequest, signal: AbortSignal): Promise<Done> {
    using lines = createLineSender(bus, request.log_source ?? { source_id: request.app_id });
    try {
      return { ...blank(request), ...describe(await serveRequest(request, { outer: signal, lines }, { ...options, workDir })) };
    } catch (thrown) {
      const error = toStagingError(thrown);
      lines.send({ text: `**ERROR** ${error.message}`, stream: "err" });
      // The ids of the upload belong to the controller's own checks; in a build they are staging errors.
      const type = error.id.startsWith("App") ? "StagingError" : error.id;
      return { ...blank(request), error: error.message, error_info: { type, message: error.message } };
    }
  }

  const starts = bus.subscribe(stagingStart, start, { params: { id } });
  const stops = bus.subscribe(stagingStop, ({ body }) => {
    for (const task of running.values())
      if (task.appId === body.app_id && (body.task_id === undefined || body.task_id === task.taskId)) task.stop.abort(new StagingError("STAGING_CANCELLED", "staging was cancelled"));
  });
  const locates = bus.subscribe(stagingLocate, say);
  beat();

  let closing: Promise<void> | undefined;
  return {
    id,
    get running() {
      return running.size;
    },
    [Symbol.asyncDispose]: () =>
      (closing ??= (async () => {
        closed = true;
        timer?.[Symbol.dispose]();
        for (const subscription of [starts, locates]) subscription[Symbol.dispose]();
        const tasks = [...running.values()];
        for (const { stop } of tasks) stop.abort(new StagingError("STAGING_CANCELLED", "the stager is stopping; start the build again"));
        await Promise.allSettled(tasks.map(({ done }) => done));
        stops[Symbol.dispose]();
      })()),
  };
}

type Done = Extract<Parameters<Delivery<typeof stagingStart>["respond"]>[0], { app_id: string }>;

const blank = ({ task_id, app_id }: StagingRequest): Done => ({ task_id, app_id, detected_buildpack: null, buildpack_key: null, detected_start_command: null, procfile: null });

const describe = ({ digest, sha1, sizeBytes, processTypes, sidecars, buildpacks, detectedBuildpack, stack }: Droplet): Partial<Done> => ({
  detected_buildpack: detectedBuildpack,
  buildpack_key: buildpacks.at(-1)?.key ?? null,
  droplet_sha1: sha1,
  droplet_sha256: digest,
  droplet_size_bytes: sizeBytes,
  detected_start_command: processTypes["web"] ?? null,
  procfile: { ...processTypes },
  process_types: { ...processTypes },
  sidecars: sidecars.map(({ name, command, processTypes: types, memoryMb }) => ({ name, command, process_types: [...types], ...(memoryMb !== undefined && { memory: memoryMb }) })),
  buildpacks: buildpacks.map(({ key, label, name, version, detectOutput }) => ({
    key, name: label, buildpack_name: name ?? null, version: version ?? null, detect_output: detectOutput ?? null,
  })),
  stack,
});
