export {
  createBus, type Bus, type BusOptions, type BusEvent, type BusCounters, type Delivery, type Subscription,
  type PublishOptions, type SubscribeOptions, type RequestOptions, type GatherOptions,
} from "./bus.ts";
export type { Trace } from "./bus/trace.ts";
export { createMemoryHub, memoryTransport, type MemoryHub, type MemoryHubOptions, type MemoryConnectOptions, type UserRights } from "./memory-transport.ts";
export { natsTransport, type NatsTransportOptions, type NatsTlsOptions } from "./nats-transport.ts";
export { createComponent, type Component, type ComponentOptions } from "./component.ts";
export { BusError, codes, type BusErrorCode } from "./errors.ts";
// For those who declare messages:
export { message, roles, type Message, type AnyMessage, type MessageOptions, type Body, type Reply, type Format, type Parsed, type Role } from "./schema.ts";
export { drop, latestPerKey, buffer, type DisconnectPolicy } from "./policy.ts";
// For those who bring a transport of their own, or speak without messages:
export { matches, isSubject, isPattern } from "./subject.ts";
export { headerNames, type Headers, type HeadersInit } from "./headers.ts";
export type { Transport, TransportStatus, TransportEvent, TransportSubscription, Packet, PacketOptions, ReceiveOptions } from "./transport.ts";
export type { Clock, Logger } from "./ports.ts";
