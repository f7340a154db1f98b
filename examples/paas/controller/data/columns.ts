import type { ColumnType, Generated } from "kysely";

/** Text made by `json()`: the only thing that may be written into a JSON column. */
export type JsonText = string & { readonly __json: unique symbol };
export const json = (value: unknown): JsonText => JSON.stringify(value) as JsonText;

export type Json<T> = ColumnType<T, JsonText, JsonText>;
export type JsonDefault<T> = ColumnType<T, JsonText | undefined, JsonText>;
export type Time = ColumnType<Date, Date | string | undefined, Date | string>;
export type TimeOrNull = ColumnType<Date | null, Date | string | null | undefined, Date | string | null>;
export type Defaulted<T> = ColumnType<T, T | undefined, T>;
export type Nullable<T> = ColumnType<T | null, T | null | undefined, T | null>;

export type StringMap = Record<string, string>;

export interface Row {
  id: Generated<number>;
  guid: string;
  created_at: Time;
  updated_at: Time;
}

export interface Labelled extends Row {
  labels: JsonDefault<StringMap>;
  annotations: JsonDefault<StringMap>;
}
