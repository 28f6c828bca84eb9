import { renderToString } from 'preact-render-to-string'
import { OperationView, type Place } from './OperationView'
import { METHODS, type OpenApi, type Schema } from './openapi'
import { Kind, Members, Text } from './SchemaView'

/** The whole document as HTML that needs no script. */
export function rendered(api: OpenApi): string {
  return renderToString(<Docs api={api} />)
}

function Docs({ api }: { api: OpenApi }) {
  const chapters = api.tags.map((tag) => ({ ...tag, places: places(api).filter((one) => tagOf(one) === tag.name) }))
  return (
    <>
      <header class="bar">
        <a class="brand" href="/">
          {api.info.title}
        </a>
        <a class="source" href="/openapi.json">
          openapi.json
        </a>
      </header>
      <div class="docs">
        <nav aria-label="Contents">
          <ul>
            {chapters.map((chapter) => (
              <li key={chapter.name}>
                <a href={`#${anchor(chapter.name)}`}>{chapter.name}</a>
                <ul>
                  {chapter.places.map(({ operation }) => (
                    <li key={operation.operationId}>
                      <a href={`#${operation.operationId}`}>{operation.summary}</a>
                    </li>
                  ))}
                </ul>
              </li>
            ))}
            <li>
              <a href="#schemas">Objects</a>
            </li>
            <li>
              <a href="#errors">Errors</a>
            </li>
          </ul>
        </nav>
        <main>
          <h1>The API</h1>
          <Text of={api.info.description} />
          {chapters.map((chapter) => (
            <section key={chapter.name} id={anchor(chapter.name)} aria-label={chapter.name}>
              <h2>{chapter.name}</h2>
              <Text of={chapter.description} />
              {chapter.places.map((place) => (
                <OperationView key={place.operation.operationId} api={api} place={place} />
              ))}
            </section>
          ))}
          <Objects api={api} />
          <Errors api={api} />
        </main>
      </div>
    </>
  )
}

function places(api: OpenApi): Place[] {
  return Object.entries({ ...api.paths, ...api.webhooks }).flatMap(([path, item]) =>
    METHODS.flatMap((method) => {
      const operation = item[method]
      return operation ? [{ method, path: path in api.paths ? path : 'your address', item, operation }] : []
    }),
  )
}

function tagOf({ operation }: Place): string | undefined {
  return operation.tags[0]
}

function anchor(name: string): string {
  return name.toLowerCase().replaceAll(' ', '-')
}

function Objects({ api }: { api: OpenApi }) {
  const { ErrorCode: _, ...schemas } = api.components.schemas
  return (
    <section id="schemas" aria-label="Objects">
      <h2>Objects</h2>
      {Object.entries(schemas).map(([name, schema]) => (
        <article key={name} class="card" id={name} aria-label={name}>
          <h3>{name}</h3>
          <ObjectView schema={schema} />
        </article>
      ))}
    </section>
  )
}

function ObjectView({ schema }: { schema: Schema }) {
  const [example] = schema.examples ?? []
  return (
    <>
      <Text of={schema.description} />
      {(!schema.properties || schema.$ref) && (
        <p class="kind">
          <Kind of={schema} />
          {schema.properties ? ' with' : ''}
        </p>
      )}
      <Members of={schema} />
      {example !== undefined && (
        <pre>
          <code>{JSON.stringify(example, null, 2)}</code>
        </pre>
      )}
    </>
  )
}

function Errors({ api }: { api: OpenApi }) {
  return (
    <section id="errors" aria-label="Errors">
      <h2>Errors</h2>
      <dl class="card" id="ErrorCode">
        {api.components.schemas.ErrorCode?.oneOf?.map((code) => (
          <div key={code.const} id={`code-${code.const}`}>
            <dt>
              <code>{String(code.const)}</code>
            </dt>
            <dd>{code.description}</dd>
          </div>
        ))}
      </dl>
    </section>
  )
}
