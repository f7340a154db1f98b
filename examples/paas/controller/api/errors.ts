/**
 * Every error a client of the controller can see: number, HTTP status, default text.
 * Names and numbers are the Cloud Controller's (`errors/v2.yml`, `errors/v3.yml`); the command line matches many of them.
 */
export const errorTable = {
  InvalidAuthToken: [1000, 401, "Invalid Auth Token"],
  MessageParseError: [1001, 400, "Request invalid due to parse error: invalid request body"],
  BadRequest: [1004, 400, "Bad request"],
  RequestTooLarge: [1005, 413, "The request body is too large"],
  UnknownRequest: [10000, 404, "Unknown request"],
  UnknownError: [10001, 500, "An unknown error occurred."],
  NotAuthenticated: [10002, 401, "Authentication error"],
  NotAuthorized: [10003, 403, "You are not authorized to perform the requested action"],
  BadQueryParameter: [10005, 400, "The query parameter is invalid"],
  InsufficientScope: [10007, 403, "Your token lacks the necessary scopes to access this resource."],
  UnprocessableEntity: [10008, 422, "The request is semantically invalid"],
  ResourceNotFound: [10010, 404, "Resource not found"],
  RateLimitExceeded: [10013, 429, "Rate Limit Exceeded"],
  ServiceUnavailable: [10015, 503, "The service is temporarily unavailable"],
  UniquenessError: [10016, 422, "The name is taken"],
  OrgSuspended: [10017, 403, "The organization is suspended"],
  SpaceSuspended: [10019, 403, "The space is suspended"],
  ResourceBeingDeleted: [10020, 422, "The resource is being deleted"],
  UaaUnavailable: [20004, 503, "The UAA service is currently unavailable"],
  // 422 and not 501: the command line shows the detail of the one, and the raw body of the other.
  NotImplemented: [10008, 422, "This platform does not have this feature"],
  AsyncServiceInstanceOperationInProgress: [60016, 409, "An operation for the service instance is in progress."],
  AsyncServiceBindingOperationInProgress: [90008, 409, "An operation for the service binding is in progress."],
  ServiceBrokerRequestRejected: [10001, 502, "The service broker rejected the request."],
  ServiceInstanceProvisionFailed: [60030, 400, "The service broker could not make the service instance."],
  ServiceInstanceDeprovisionFailed: [60011, 409, "The service broker could not remove the service instance."],
  ServiceFetchInstanceParametersNotSupported: [120004, 400, "This service does not support fetching service instance parameters."],
  ServiceFetchBindingParametersNotSupported: [120005, 400, "This service does not support fetching service binding parameters."],
  ServiceInstanceAlreadyBoundToSameRoute: [130008, 422, "The route and service instance are already bound."],
  PackageBitsAlreadyUploaded: [150004, 400, "Bits may be uploaded only once. Create a new package to upload different bits."],
  InsufficientRunningResourcesAvailable: [150003, 503, "Insufficient resources to run the app"],
  AppBitsUploadInvalid: [160001, 400, "The app upload is invalid"],
  AppBitsCopyInvalid: [160004, 400, "The app copy is invalid"],
  AppResourcesFileModeInvalid: [160002, 400, "The resource file mode is invalid"],
  AppResourcesFilePathInvalid: [160003, 400, "The resource file path is invalid"],
  StagingError: [170001, 400, "Staging error"],
  NoAppDetectedError: [170003, 400, "An app was not successfully detected by any available buildpack"],
  BuildpackCompileFailed: [170004, 400, "App staging failed in the buildpack compile phase"],
  BuildpackReleaseFailed: [170005, 400, "App staging failed in the buildpack release phase"],
  NoBuildpacksFound: [170006, 400, "There are no buildpacks available"],
  StagingTimeExpired: [170007, 504, "Staging time expired"],
  InsufficientResources: [170008, 400, "Insufficient resources"],
  NoCompatibleCell: [170009, 400, "Found no compatible cell"],
  StagerUnavailable: [170010, 503, "Stager is unavailable"],
  StagerError: [170011, 500, "Stager error"],
  RunnerUnavailable: [170015, 503, "Runner is unavailable"],
  RunnerError: [170016, 500, "Runner error"],
  StagingInProgress: [170017, 422, "Only one build can be STAGING at a time per application."],
  TaskWorkersUnavailable: [170020, 503, "Task workers are unavailable"],
  StatsUnavailable: [200002, 503, "Stats unavailable"],
  InstancesUnavailable: [220002, 503, "Instances information unavailable"],
  ServiceBrokerNotRemovable: [270010, 422, "Can not remove brokers that have associated service instances"],
  ServiceBrokerCatalogInvalid: [270012, 502, "Service broker catalog is invalid"],
  ServiceBrokerConcurrencyError: [270018, 422, "Cannot perform this operation on this service broker while another one is in progress"],
  BuildpackNameStackLifecycleTaken: [290000, 422, "The buildpack name is already in use"],
  BuildpackInvalid: [290003, 400, "Buildpack is invalid"],
  BuildpackLocked: [290005, 409, "The buildpack is locked"],
  SpaceDeletionFailed: [290008, 502, "Deletion of the space failed"],
  OrganizationDeletionFailed: [290010, 502, "Deletion of the organization failed"],
  DockerDisabled: [320003, 400, "Docker support has not been enabled."],
  FeatureDisabled: [330002, 403, "Feature Disabled"],
  CNBDisabled: [320007, 400, "Cloud Native Buildpacks support has not been enabled."],
  DeploymentsDisabled: [390014, 403, "Deployments cannot be created due to manifest property"],
  ScaleDisabledDuringDeployment: [390016, 422, "Cannot scale this process while a deployment is in flight."],
  ProcessUpdateDisabledDuringDeployment: [390017, 422, "Cannot update this process while a deployment is in flight."],
  StopDisabledDuringDeployment: [390024, 422, "Cannot stop the app while it is deploying, please cancel the deployment before stopping the app."],
} as const satisfies Record<string, readonly [code: number, status: number, detail: string]>;

export type CfErrorName = keyof typeof errorTable;
export const codes = Object.keys(errorTable) as CfErrorName[];

export interface CfErrorBody {
  code: number;
  title: string;
  detail: string;
}

/** What a client is told. `details` become one error each; everything in them is shown, so no secret may stand there. */
export class CfError extends Error {
  override readonly name = "CfError";
  readonly code: CfErrorName;
  readonly status: number;
  readonly retryable: boolean;
  readonly details: readonly string[];
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: CfErrorName, details: string | readonly string[] = [], options: { cause?: unknown; headers?: Record<string, string> } = {}) {
    const [, status, text] = errorTable[code];
    const list = typeof details === "string" ? [details] : details;
    super((list.length > 0 ? list : [text]).join(", "), options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = status;
    this.retryable = status === 503 || status === 429;
    this.details = list.length > 0 ? list : [text];
    this.headers = options.headers ?? {};
  }

  /** The objects of `{"errors": [...]}`, of a response as of a failed job. */
  toBodies(): CfErrorBody[] {
    return this.details.map((detail) => ({ code: errorTable[this.code][0], title: `CF-${this.code === "UnknownRequest" ? "NotFound" : this.code}`, detail }));
  }
}

/** `404 App not found`. The name is the humanised type; the command line matches some of them. */
export const notFound = (type: string): CfError => new CfError("ResourceNotFound", `${type} not found`);
/** `422` with a validation text. */
export const unprocessable = (detail: string | readonly string[]): CfError => new CfError("UnprocessableEntity", detail);
/** `422` with the text of a taken name. */
export const taken = (detail: string): CfError => new CfError("UniquenessError", detail);
export const notAuthorized = (): CfError => new CfError("NotAuthorized");
export const badQuery = (why: string): CfError => new CfError("BadQueryParameter", `The query parameter is invalid: ${why}`);
/** For what exists in Cloud Foundry and not here: a clear refusal, never a success that did not happen. */
export const notImplemented = (what: string): CfError => new CfError("NotImplemented", `${what}: this platform does not have this feature.`);

/** Whatever was thrown, as errors for a client: known ones as they are, anything else without its text. */
export const bodiesOf = (error: unknown): CfErrorBody[] => (error instanceof CfError ? error : new CfError("UnknownError")).toBodies();
