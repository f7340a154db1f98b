// Writing a broker:
export { defineBroker } from "./broker.ts";
export type {
  BrokerDefinition, OperationContext, OriginatingIdentity, ProvisionRequest, UpdateRequest, DeprovisionRequest, InstanceResult, InstanceMetadata,
  BindRequest, BindResource, BindResult, UnbindRequest, VolumeMount, Endpoint,
} from "./broker.ts";
export type { Catalog, ServiceOffering, Service, Plan, ResolvedPlan, MaintenanceInfo, ParameterSchema } from "./catalog.ts";
// Running it:
export { createBrokerApi, type BrokerApi, type BrokerApiOptions } from "./broker-api.ts";
export type { BasicCredentials } from "./credentials.ts";
export { memoryStore, type Store, type StoredRecord, type InstanceRecord, type BindingRecord } from "./store.ts";
// What went wrong:
export { BrokerError, codes, type BrokerErrorCode, type BrokerErrorOptions } from "./errors.ts";
// What can be handed in:
export type { Clock, Logger } from "./ports.ts";
