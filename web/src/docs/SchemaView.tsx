import { marked } from 'marked'
import type { ComponentChildren } from 'preact'
import type { Schema } from './openapi'

/** A text of the document, which is Markdown. */
export function Text({ of }: { of: string | undefined }) {
  return of ? <div class="text" dangerouslySetInnerHTML={{ __html: marked.parse(of, { async: false }) }} /> : null
}

/** A name with what stands for it, and what it means. */
export function Entry({
  name,
  required,
  schema,
  description,
  example,
  children,
}: {
  name: string
  required?: boolean | undefined
  schema: Schema
  description?: string | undefined
  example?: unknown
  children?: ComponentChildren
}) {
  const examples = example === undefined ? (schema.examples ?? []) : [example]
  return (
    <>
      <dt>
        <code>{name}</code> {children}
        <span class="kind">
          <Kind of={schema} />
          {required ? ', required' : ''}
        </span>
      </dt>
      <dd>
        <Text of={description ?? schema.description} />
        {examples.length > 0 && (
          <p class="example">
            For example <Choice among={examples.map((one) => <Json key={one} of={one} />)} />
          </p>
        )}
      </dd>
    </>
  )
}

/** The members of an object. */
export function Members({ of }: { of: Schema }) {
  const members = Object.entries(of.properties ?? {})
  return members.length === 0 ? null : (
    <dl>
      {members.map(([name, schema]) => (
        <Entry key={name} name={name} schema={schema} required={of.required?.includes(name)} />
      ))}
    </dl>
  )
}

/** What kind of value it is, in a few words. */
export function Kind({ of }: { of: Schema }) {
  if (of.$ref) return <Named reference={of.$ref} />
  const among = of.oneOf ?? of.anyOf
  if (among) return <Choice among={among.map((one) => <Kind key={JSON.stringify(one)} of={one} />)} />
  if ('const' in of) return <Json of={of.const} />
  if (of.enum) return <Choice among={of.enum.map((one) => <Json key={one} of={one} />)} />
  if (of.contentSchema) {
    return (
      <>
        <Kind of={of.contentSchema} /> as a text
      </>
    )
  }
  if (of.items) {
    return (
      <>
        list of <Kind of={of.items} />
        {bounds(of)}
      </>
    )
  }
  return (
    <>
      {of.format === 'binary' ? 'bytes' : [of.type ?? 'anything'].flat().join(' or ')}
      {of.format && of.format !== 'binary' ? ` (${of.format})` : ''}
      {bounds(of)}
      {of.pattern && (
        <>
          {' '}
          <code class="pattern">{of.pattern}</code>
        </>
      )}
      {'default' in of && (
        <>
          , by default <Json of={of.default} />
        </>
      )}
    </>
  )
}

function Named({ reference }: { reference: string }) {
  // `#/components/schemas/Options/properties/start` is `start` of Options.
  const [, , , name = '', , member] = reference.split('/')
  return <a href={`#${name}`}>{member ? `${name}: ${member}` : name}</a>
}

function Choice({ among }: { among: ComponentChildren[] }) {
  return among.map((one, index) => [index === 0 ? '' : index === among.length - 1 ? ' or ' : ', ', one])
}

function Json({ of }: { of: unknown }) {
  return <code>{JSON.stringify(of)}</code>
}

function bounds(of: Schema): string {
  const range = (low: number | undefined, high: number | undefined, unit: string) => {
    if (low !== undefined && high !== undefined) return `, ${low} to ${high}${unit}`
    if (high !== undefined) return `, at most ${high}${unit}`
    return low === undefined || low === 0 ? '' : `, at least ${low}${unit}`
  }
  return (
    range(of.minimum, of.maximum, '') +
    range(of.minLength, of.maxLength, ' characters') +
    range(undefined, of.maxItems, ' entries')
  )
}
