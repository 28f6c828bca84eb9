/** What has just gone wrong, told at once; nothing where the text is empty. */
export function Failure({ text }: { text: string }) {
  if (!text) return null
  return (
    <p class="error" role="alert">
      {text}
    </p>
  )
}
