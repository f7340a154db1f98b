// What people need who build on the bus and want to know what their part does when the network is bad.
export { createSimulation, type ConnectOptions, type Simulation, type SimulationOptions } from "./testing/simulation.ts";
export { simulate, type SimulateOptions, SimulationError, type SimulationReport } from "./testing/simulate.ts";
export type { Fault, Faults } from "./testing/faults.ts";
export type { SimulationTrace, TraceEntry, TraceEventName } from "./testing/trace.ts";
