export { createBus, type Bus, type BusOptions, type BusCounters, type Delivery, type Subscription, type SubscribeOptions, type RequestOptions, type GatherOptions } from "./bus.ts";
export { createMemoryHub, memoryTransport, type MemoryHub, type MemoryHubOptions } from "./memory-transport.ts";
export { natsTransport, type NatsTransportOptions } from "./nats-transport.ts";
export { announce, type Announcement, type AnnounceOptions } from "./announcer.ts";
export { BusError, codes, type BusErrorCode } from "./errors.ts";
// For those who declare messages or bring a transport of their own:
export { message, type Message, type Body, type Reply, type Format, type Parsed } from "./schema.ts";
export { matches, isSubject, isPattern } from "./subject.ts";
export type { Transport, TransportStatus, TransportSubscription, Packet } from "./transport.ts";
export type { Clock, Logger } from "./ports.ts";
