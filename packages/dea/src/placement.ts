export { place, type Placement } from "./placement/place.ts";
export { runtimeAnswers, runtimeWish } from "./placement/runtime.ts";
export { createPlacer, type HostNews, type Placer, type PlacerOptions } from "./placement/placer.ts";
export type { Answer, Delivery, DeliverOptions, Send } from "./placement/deliver.ts";
export type { Attempt, PlacementRefusal, RefusalCode } from "./placement/refusal.ts";
export type { Reservation, Reserved } from "./placement/reservation.ts";
export { defaultZone, type PlacementHost, type PlacementRequest, type Room, type RuntimeOffer, type RuntimeWish } from "./placement/shapes.ts";
