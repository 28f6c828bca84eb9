/** What an OpenAPI 3.1 document has, as far as `docs/openapi.yaml` uses it. */

export interface Reference {
  $ref: string
}

/** JSON Schema 2020-12, in which a `$ref` may have siblings. */
export interface Schema {
  $ref?: string
  description?: string
  type?: string | string[]
  format?: string
  const?: unknown
  enum?: unknown[]
  oneOf?: Schema[]
  anyOf?: Schema[]
  items?: Schema
  properties?: Record<string, Schema>
  required?: string[]
  minimum?: number
  maximum?: number
  minLength?: number
  maxLength?: number
  maxItems?: number
  pattern?: string
  contentSchema?: Schema
  default?: unknown
  examples?: unknown[]
}

export interface Media {
  schema?: Schema
  example?: unknown
}

export interface Value {
  description?: string
  required?: boolean
  schema?: Schema
}

export interface Parameter extends Value {
  name: string
  in: 'path' | 'query' | 'header' | 'cookie'
  example?: unknown
}

export interface Body {
  required?: boolean
  content: Record<string, Media>
}

export interface Answer {
  description: string
  headers?: Record<string, Value | Reference>
  content?: Record<string, Media>
}

export interface Operation {
  tags: string[]
  operationId: string
  summary: string
  description?: string
  security?: Record<string, string[]>[]
  parameters?: (Parameter | Reference)[]
  requestBody?: Body | Reference
  responses: Record<string, Answer | Reference>
}

export const METHODS = ['get', 'head', 'post', 'put', 'patch', 'delete', 'options'] as const

export type PathItem = { [method in (typeof METHODS)[number]]?: Operation } & {
  parameters?: (Parameter | Reference)[]
}

export interface OpenApi {
  info: { title: string; description: string }
  tags: { name: string; description: string }[]
  security: Record<string, string[]>[]
  paths: Record<string, PathItem>
  webhooks: Record<string, PathItem>
  components: { schemas: Record<string, Schema> }
}

/** What a reference within the document leads to (RFC 6901). */
export function resolved<T>(api: OpenApi, found: T | Reference): T {
  if (typeof found !== 'object' || found === null || !('$ref' in found)) return found as T
  const steps = found.$ref.split('/').slice(1)
  // biome-ignore lint/suspicious/noExplicitAny: any part of the document
  return steps.reduce((part: any, step) => part[step], api)
}
