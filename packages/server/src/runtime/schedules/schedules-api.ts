/** Schedules as deployments see them: those of a deployment come and go with it. */

export interface DeploymentSchedules {
  /** Replaces what there is of this deployment. Each fires at most once for each time that is due. */
  put(
    deploymentId: string,
    schedules: readonly {
      readonly name: string
      /** 5, 6 or 7 fields; or one time in RFC 3339. */
      readonly cron: string
      readonly timezone: string
      readonly agentId: string
      readonly oneShot: boolean
      /** `none`, `errors_only`, `all_operations` */
      readonly audit: string
      /** Of actions; absent: all. */
      readonly actions?: readonly string[]
    }[],
    by: string,
  ): Promise<void>
  remove(deploymentId: string): Promise<void>
}
