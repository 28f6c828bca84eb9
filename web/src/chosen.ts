/** The files that somebody has chosen or dropped, and why one of them cannot be sent. */

/** What no video is; of anything else the server finds out. */
const OTHER = /^(image|text|font|model)\/|^application\/(pdf|zip|json|msword|vnd\.(ms|openxml|oasis))/
/** Endings of videos that browsers take for something else, or do not know. */
const VIDEO = ['mkv', 'ts', 'mts', 'm2ts', 'flv', 'vob', 'mxf']
export const ACCEPTED = ['video/*', 'audio/*', ...VIDEO.map((ending) => `.${ending}`)].join(',')

/** Why a file cannot be sent, in a sentence, or '' where it can. */
export function objection({ name, size, type }: Pick<File, 'name' | 'size' | 'type'>): string {
  const ending = name.split('.').at(-1)?.toLowerCase() ?? ''
  if (OTHER.test(type) && !VIDEO.includes(ending)) return `${name} is neither a video nor sound.`
  return size === 0 ? `${name} is empty. Please check it and choose it again.` : ''
}

/** What is dropped: files, and the names of folders, which have no bytes to send. */
export function dropped(transfer: DataTransfer): { files: File[]; folders: string[] } {
  const items = [...transfer.items].filter(({ kind }) => kind === 'file')
  const folders = items.map((item) => item.webkitGetAsEntry()).filter((entry) => entry?.isDirectory)
  const names = folders.map((entry) => entry?.name ?? '')
  return { files: [...transfer.files].filter(({ name }) => !names.includes(name)), folders: names }
}
