export { createDea, type Dea, type DeaOptions } from "./dea.ts";
export type { PressureOptions } from "./pressure/relief.ts";
export type { HostUse, Resource } from "./pressure/choose.ts";
export type { Resumed } from "./recovery.ts";
export type { Capacity, Amount } from "./capacity.ts";
export type { Instance, InstanceChange, InstanceUpdate, StopOptions } from "./instance/instance.ts";
export { MiB, type HealthCheckSpec, type LogSource, type ReadinessCheckSpec, type StartSpec } from "./instance/spec.ts";
export type { PlaceSpec } from "./instance/place-spec.ts";
export type { DropletSource } from "./droplet/source.ts";
export type { LogLine, ReadOptions } from "./instance/log-buffer.ts";
export type { InstanceStats } from "./instance/stats.ts";
export type { ExitKind, ExitReason, InstanceExit } from "./instance/exit.ts";
export { type Phase, type PhaseRow, phases } from "./instance/phases.ts";
export { arcs, events, facts, next, states, type InstanceEvent, type InstanceState, type StateFacts } from "./instance/state.ts";
export type { ExecOptions } from "./instance/exec.ts";
export type { InstanceSample, MetricsOptions } from "./instance/metrics.ts";
export type { LogCounts } from "./instance/log-buffer.ts";
export type { TaskReason, TaskResult } from "./task/result.ts";
export type { TaskSpec } from "./task/spec.ts";
export type { Task, TaskState } from "./task/task.ts";
export type { RunTaskOptions, Tasks } from "./task/tasks.ts";
export { codes, DeaError, type DeaErrorCode } from "./errors.ts";
export type { Clock, Fetch, Logger } from "./ports.ts";

// Where instances run, and what is needed to write another such place:
export { processBackend, type ProcessBackendOptions } from "./container/process-backend.ts";
export type { Isolation } from "./container/isolation.ts";
export { findRuntimes, type FindRuntimesOptions, type FoundRuntime } from "./runtimes.ts";
export { linuxBackend, type LinuxBackendOptions } from "./linux/linux-backend.ts";
export { type HostFinding, type LinuxHost, probeLinux, type ProbeOptions } from "./linux/probe.ts";
export { type Capabilities, enforcedLimits, enforcing, type LimitName, limitNames } from "./container/capabilities.ts";
export { unstopped } from "./container/attacks.ts";
export { tryBackend, type TrialOptions } from "./container/try-backend.ts";
export type { EgressRule } from "./container/egress.ts";
export type {
  Adopted, Backend, BackendCapacity, BackendPlace, Container, ContainerInfo, ContainerProcess, ContainerRecord, ContainerSpec, ExecProcess, ExecSpec,
  ExitStatus, ListEntry, ProcessSpec, TerminalSize, Usage,
} from "./container/container.ts";

// Useful alone:
export { unpack, type UnpackOptions, type Unpacked } from "./droplet/unpack.ts";
