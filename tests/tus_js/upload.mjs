// Sends a file with tus-js-client: node upload.mjs ENDPOINT AUTHORIZATION FILE; options as JSON in stdin.
// A length that is deferred needs a stream that knows none, so the file is passed through one then.
import { createReadStream, readFileSync } from 'node:fs'
import { PassThrough } from 'node:stream'
import { Upload } from 'tus-js-client'

const [endpoint, authorization, path] = process.argv.slice(2)
const options = JSON.parse(readFileSync(0, 'utf8'))
const file = createReadStream(path)

const upload = new Upload(options.uploadLengthDeferred ? file.pipe(new PassThrough()) : file, {
  endpoint,
  headers: { Authorization: authorization },
  retryDelays: [50, 100, 200, 400, 800, 1600, 3200],
  metadata: { filename: 'film.mp4', filetype: 'video/mp4' },
  ...options,
  onError: (error) => {
    console.error(String(error))
    process.exit(1)
  },
  onSuccess: () => console.log(upload.url),
})
upload.start()
