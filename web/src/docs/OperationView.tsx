import type { Answer, Media, OpenApi, Operation, Parameter, PathItem, Schema, Value } from './openapi'
import { resolved } from './openapi'
import { Entry, Kind, Members, Text } from './SchemaView'

const ANYONE = 'Anyone may ask this.'
const WITH: Record<string, string> = {
  password: 'mail address and password (Basic authentication)',
  accessToken: 'an access token',
  accessCookie: 'the cookie of a browser session',
  refreshCookie: 'the refresh cookie of a browser session',
  signedLink: 'the signature of a link',
  adminKey: 'the admin key',
}

export interface Place {
  method: string
  path: string
  item: PathItem
  operation: Operation
}

/** One call: what it takes, and what it answers. */
export function OperationView({ api, place }: { api: OpenApi; place: Place }) {
  const { method, path, item, operation } = place
  const parameters = [...(item.parameters ?? []), ...(operation.parameters ?? [])].map((one) => resolved(api, one))
  const body = operation.requestBody && resolved(api, operation.requestBody)
  return (
    <article class="card" id={operation.operationId} aria-labelledby={`${operation.operationId}-name`}>
      <h3 id={`${operation.operationId}-name`}>{operation.summary}</h3>
      <p class="call">
        <b>{method.toUpperCase()}</b> <code>{path}</code>
      </p>
      <Text of={operation.description} />
      <p class="hint">{access(operation.security ?? api.security)}</p>
      {parameters.length > 0 && <Parameters of={parameters} />}
      {body && <Contents title="Body" content={body.content} />}
      <h4>Answers</h4>
      <dl class="answers">
        {Object.entries(operation.responses).map(([status, answer]) => (
          <AnswerView key={status} api={api} status={status} answer={resolved(api, answer)} />
        ))}
      </dl>
    </article>
  )
}

function access(security: Record<string, string[]>[]): string {
  const ways = security.flatMap((one) => Object.keys(one)).map((name) => WITH[name] ?? name)
  return ways.length === 0 ? ANYONE : `With ${ways.join(', or ')}.`
}

function Parameters({ of }: { of: Parameter[] }) {
  return (
    <>
      <h4>Parameters</h4>
      <dl>
        {of.map((one) => (
          <Entry
            key={one.name}
            name={one.name}
            required={one.required}
            schema={one.schema ?? {}}
            description={one.description}
            example={one.example}
          >
            <span class="kind">in the {one.in}, </span>
          </Entry>
        ))}
      </dl>
    </>
  )
}

function Contents({ title, content }: { title: string; content: Record<string, Media> }) {
  return (
    <>
      <h4>{title}</h4>
      {Object.entries(content).map(([type, media]) => (
        <div key={type}>
          <MediaView type={type} media={media} />
        </div>
      ))}
    </>
  )
}

function MediaView({ type, media }: { type: string; media: Media }) {
  const { schema, example } = media
  return (
    <>
      <p>
        <code>{type}</code>
        {schema && !schema.properties && (
          <>
            {': '}
            <Kind of={schema} />
          </>
        )}
      </p>
      {schema && !schema.$ref && <Text of={schema.description} />}
      {schema && <Members of={schema} />}
      {example !== undefined && (
        <pre>
          <code>{typeof example === 'string' ? example : JSON.stringify(example, null, 2)}</code>
        </pre>
      )}
    </>
  )
}

function AnswerView({ api, status, answer }: { api: OpenApi; status: string; answer: Answer }) {
  const headers = Object.entries(answer.headers ?? {}).map(([name, one]) => [name, resolved(api, one)] as const)
  const { 'application/problem+json': problem, ...content } = answer.content ?? {}
  return (
    <>
      <dt>
        <b>{status}</b>
      </dt>
      <dd>
        <Text of={answer.description} />
        <Codes of={problem?.schema} />
        {headers.length > 0 && <Headers of={headers} />}
        {Object.entries(content).map(([type, media]) => (
          <MediaView key={type} type={type} media={media} />
        ))}
      </dd>
    </>
  )
}

function Codes({ of }: { of: Schema | undefined }) {
  const codes = of?.properties?.code?.enum as string[] | undefined
  return codes ? (
    <p class="codes">
      {codes.map((code) => (
        <a key={code} href={`#code-${code}`}>
          <code>{code}</code>
        </a>
      ))}
    </p>
  ) : null
}

function Headers({ of }: { of: (readonly [string, Value])[] }) {
  return (
    <p class="hint">
      Headers:{' '}
      {of.map(([name], index) => [
        index > 0 ? ', ' : '',
        <code key={name} title={name}>
          {name}
        </code>,
      ])}
    </p>
  )
}
