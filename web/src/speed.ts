const WINDOW_MS = 5_000

/** How fast something grows, over the last few seconds. */
export class Speed {
  private samples: [time: number, count: number][] = []

  /** Forgets what was: after a pause the old speed says nothing. */
  reset(): void {
    this.samples = []
  }

  /** Notes how much there is at a time in ms. */
  note(count: number, time: number): void {
    this.samples.push([time, count])
    const old = this.samples.filter(([when]) => when < time - WINDOW_MS).length
    this.samples.splice(0, Math.min(old, this.samples.length - 2))
  }

  /** Per second; 0 while too little is known. */
  get perSecond(): number {
    const [first, last] = [this.samples[0], this.samples.at(-1)]
    if (!first || !last || last[0] - first[0] < 500) return 0
    return Math.max(0, ((last[1] - first[1]) / (last[0] - first[0])) * 1000)
  }
}
