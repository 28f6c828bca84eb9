import { type ComponentChildren, createContext } from 'preact'
import { useContext, useId } from 'preact/hooks'

/** What is wrong with the fields of a form, by their names. */
export const Complaints = createContext<Record<string, string>>({})

interface Props {
  name: string
  label: string
  hint?: string
  /** Makes the control, which takes these. */
  children: (control: {
    id: string
    name: string
    'aria-describedby': string
    'aria-invalid': boolean
  }) => ComponentChildren
}

/** A control with its label, and a hint or else what is wrong with it. */
export function Field({ name, label, hint, children }: Props) {
  const id = useId()
  const complaint = useContext(Complaints)[name]
  const note = `${id}-note`
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children({ id, name, 'aria-describedby': note, 'aria-invalid': Boolean(complaint) })}
      <span id={note} class={complaint ? 'error' : 'hint'}>
        {complaint ?? hint}
      </span>
    </div>
  )
}

interface ChoiceProps extends Omit<Props, 'children'> {
  values: readonly (readonly [value: string, text: string])[]
}

/** One of a list of values. */
export function Choice({ values, ...field }: ChoiceProps) {
  return (
    <Field {...field}>
      {(control) => (
        <select {...control}>
          {values.map(([value, text]) => (
            <option key={value} value={value}>
              {text}
            </option>
          ))}
        </select>
      )}
    </Field>
  )
}

interface TextProps extends Omit<Props, 'children' | 'hint'> {
  placeholder?: string
  /** What it must look like, and how to say that. */
  pattern?: string
  title?: string
  maxLength?: number
}

/** A line of text. */
export function Text({ name, label, ...input }: TextProps) {
  return (
    <Field name={name} label={label}>
      {(control) => <input {...control} {...input} autocomplete="off" />}
    </Field>
  )
}

/** What the browser finds wrong in a form, by name. */
export function invalid(form: HTMLFormElement): Record<string, string> {
  const wrong = [...form.querySelectorAll<HTMLInputElement>('input:invalid')]
  return Object.fromEntries(
    wrong.map(({ name, title, validity, validationMessage }) => [
      name,
      validity.patternMismatch ? title : validationMessage,
    ]),
  )
}

/** Brings the first of these fields into sight, with the focus. */
export function goTo(form: HTMLFormElement, names: string[]): void {
  const first = [...form.elements].find((control) => names.includes(control.getAttribute('name') ?? ''))
  first?.closest('details')?.setAttribute('open', '')
  if (first instanceof HTMLElement) first.focus()
}
