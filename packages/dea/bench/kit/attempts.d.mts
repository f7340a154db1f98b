export declare const attempts: readonly { what: string; as: "vcap" | "root"; script: string }[];
