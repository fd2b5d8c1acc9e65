"""Every dashboard, in the order of the page that lists them."""

from dev.monitoring.fleet_board import FLEET
from dev.monitoring.model_board import ONE_DEPLOYMENT
from dev.monitoring.program_boards import GATEWAY, OPERATOR
from dev.monitoring.rollout_board import ROLLOUT
from dev.monitoring.scaling_board import AUTOSCALING

BOARDS = (FLEET, ONE_DEPLOYMENT, ROLLOUT, AUTOSCALING, GATEWAY, OPERATOR)
